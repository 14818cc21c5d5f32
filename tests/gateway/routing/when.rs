//! What `when` sees of a request, and what it leads to where it has no value.

use serde_json::Value;

use super::super::harness::{Gateway, echo, upstream, wiregate};
use super::{VERSIONS, answering, ask};

#[test]
fn a_when_without_a_value_opens_no_other_route() {
    let gateway = answering(
        r#"
  - { name: small, match: { when: "int(request.headers['x-n']) < 10" }, filters: [respond: small] }
  - { name: rest, filters: [respond: rest] }
"#,
    );
    for (field, status, body) in [
        ("x-n: 5", 200, "small"),
        ("x-n: 50", 200, "rest"),
        ("x-n: five", 500, ""),
    ] {
        let answer = ask(&gateway, "http://x.test/", &["-H", field]);
        assert_eq!(answer.status, status, "{field}");
        if status == 200 {
            assert_eq!(answer.text(), body);
            continue;
        }
        let problem = answer.json();
        assert_eq!(problem["type"], "urn:wiregate:condition_failed");
        assert_eq!(
            problem.get("detail"),
            None,
            "the client is told nothing of the rule"
        );
    }
    let log = gateway.access_log(3);
    let failed = log.iter().find(|line| line["status"] == 500).unwrap();
    assert_eq!(failed["error"], "condition_failed");
    let detail = failed["detail"].as_str().unwrap();
    assert!(detail.starts_with("`when` of route `small`"), "{detail}");
    assert_eq!(failed["route"], Value::Null);
}

/// Each is `/admin/x` or below, and none is written like that.
const SPELLINGS: [&str; 8] = [
    "/%61dmin/x",
    "/%61%64%6D%69%6e/x",
    "//admin/x",
    "/./admin/x",
    "/y/../admin/x",
    "/y/%2e%2E/admin/x",
    "/admin//x",
    "/admin/y/%2e./x",
];

#[test]
fn a_when_sees_one_spelling_of_a_path() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        r#"{}
routes:
  - {{ name: open, match: {{ path: /**, when: '!request.path.startsWith("/admin")' }}, upstream: app }}
  - {{ name: exact, match: {{ path: /**, methods: POST, when: 'request.path == "/admin/x"' }}, filters: [respond: exact] }}
"#,
        upstream(&origin)
    ));
    let config = gateway.file("wiregate.yaml");
    let explained = |method: &str, path: &str| {
        let config = config.to_str().unwrap();
        let command = ["explain", "--config", config, "--format", "json", method];
        let output = wiregate(&[&command[..], &[path]].concat())
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["route"]["name"].as_str().map(str::to_owned)
    };
    for path in SPELLINGS {
        for version in VERSIONS {
            let url = format!("http://x.test{path}?a=1");
            assert_eq!(
                ask(&gateway, &url, &[version]).status,
                404,
                "{path} {version}"
            );
            let answer = ask(&gateway, &url, &[version, "-X", "POST"]);
            assert_eq!(answer.text(), "exact", "{path} {version}");
        }
        assert_eq!(explained("GET", path), None, "{path}");
        assert_eq!(explained("POST", path).as_deref(), Some("exact"), "{path}");
    }
    let lines = gateway.access_log(2);
    assert_eq!(lines[0]["target"], "/%61dmin/x?a=1", "{}", lines[0]);
    let open = ask(&gateway, "http://x.test/y/../x", &[]);
    assert_eq!(open.json()["path"], "/x", "{}", open.text());
}

#[test]
fn a_when_knows_the_parameters_of_its_own_path() {
    let gateway = answering(
        r#"
  - { name: own, match: { path: "/a/{id}", when: "params.id.startsWith('x')" }, filters: [respond: "own ${params.id}"] }
  - { name: other, match: { path: "/a/{name}/**", when: "params.name == 'y z'" }, filters: [respond: "other ${params.name}"] }
  - { name: maybe, match: { path: ["/b/{id}", /b] }, filters: [respond: "${has(params.id) ? params.id : 'none'}"] }
"#,
    );
    for (path, status, said) in [
        ("/a/x1", 200, "own x1"),
        ("/a/%781", 200, "own x1"),
        ("/a/y%20z", 200, "other y z"),
        ("/a/y%20z/more", 200, "other y z"),
        ("/b/1", 200, "1"),
        ("/b", 200, "none"),
    ] {
        let answer = ask(&gateway, &format!("http://x.test{path}"), &[]);
        assert_eq!((answer.status, &*answer.text()), (status, said), "{path}");
    }
    assert_eq!(ask(&gateway, "http://x.test/a/1", &[]).status, 404);
}

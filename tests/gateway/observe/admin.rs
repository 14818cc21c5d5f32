//! The admin API: probes, whom it answers, and what it shows of the configuration.

use super::super::harness::{Gateway, complete, curl};
use super::gateway;

#[test]
fn probes_answer() {
    let (gateway, _origin) = gateway();
    for path in ["/livez", "/readyz"] {
        let answer = gateway.admin("GET", path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok\n"),
            "{path}"
        );
        assert_eq!(gateway.admin("POST", path).status, 405);
    }
    let answer = gateway.admin("GET", "/readyz?verbose").json();
    assert_eq!(answer["ready"], true);
    assert_eq!(answer["generation"], 1);
    assert_eq!(
        answer["upstreams"]["app"],
        serde_json::json!({ "healthy": 1, "endpoints": 1 })
    );
    assert_eq!(gateway.admin("GET", "/other").status, 404);
}

#[test]
fn the_admin_api_does_not_answer_web_pages() {
    let gateway = Gateway::start("routes: [{ name: all, filters: [respond: 204] }]\n");
    let socket = gateway.file("admin.sock").display().to_string();
    let ask = |header: &str| {
        let url = "http://localhost/config";
        curl(&["--unix-socket", &socket, "-H", header, url]).status
    };
    for refused in [
        "origin: http://localhost",
        "origin: null",
        "host: evil.example",
        "host: localhost.evil.example",
        "host: 192.0.2.1",
    ] {
        assert_eq!(ask(refused), 403, "{refused}");
    }
    for good in [
        "host: localhost:9901",
        "host: 127.0.0.1:9901",
        "host: [::1]:9901",
    ] {
        assert_eq!(ask(good), 200, "{good}");
    }
    let url = "http://localhost/reload";
    let answer = curl(&[
        "--unix-socket",
        &socket,
        "-H",
        "origin: http://a.example",
        "-X",
        "POST",
        url,
    ]);
    assert_eq!(answer.status, 403);
    assert_eq!(gateway.metric("wiregate_config_generation"), 1.0);
}

#[test]
fn secrets_are_shown_as_written_and_never_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "Tr0ub4dor-from-file\n").unwrap();
    let keys = |extra: &str| {
        format!(
            "routes: [{{ name: all, filters: [api_key: {{ keys: [\
             {{ name: ann, key: \"${{env:WIREGATE_TEST_KEY}}\" }}, \
             {{ name: bob, key: \"${{file:{}}}\" }}] }}, \
             headers: {{ request: {{ set: {{ x-token: \"Bearer ${{env:WIREGATE_TEST_KEY}}\" }} }} }}, \
             respond: ok] }}]\n{extra}",
            secret.display()
        )
    };
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, complete(folder.path(), &keys(""), "{}")).unwrap();
    let gateway = Gateway::start_as(folder, &file, |command| {
        command.env("WIREGATE_TEST_KEY", "Tr0ub4dor-from-env");
    });
    for key in ["Tr0ub4dor-from-env", "Tr0ub4dor-from-file"] {
        assert_eq!(
            curl(&["-H", &format!("x-api-key: {key}"), &gateway.url("/")]).status,
            200
        );
    }
    let mut said = vec![gateway.admin("GET", "/config").text()];
    let config = gateway.admin("GET", "/config").json();
    assert_eq!(config["generation"], 1);
    let shown = &config["config"]["routes"][0]["filters"];
    assert_eq!(
        shown[0]["api_key"]["keys"][0]["key"],
        "${env:WIREGATE_TEST_KEY}"
    );
    let written = format!("${{file:{}}}", secret.display());
    assert_eq!(shown[0]["api_key"]["keys"][1]["key"], written);
    assert_eq!(
        shown[1]["headers"]["request"]["set"]["x-token"],
        "Bearer ${env:WIREGATE_TEST_KEY}"
    );

    // In places where they make no sense, so that a message is about them.
    for wrong in [
        "limits: { drain: \"${env:WIREGATE_TEST_KEY}\" }\n",
        "workers: ${env:WIREGATE_TEST_KEY}\n",
        "upstreams: { app: { endpoints: [\"${env:WIREGATE_TEST_KEY}\"] } }\n",
        "all_routes: { filters: [\"${env:WIREGATE_TEST_KEY}\"] }\n",
        "all_routes: { filters: [redirect: \"${env:WIREGATE_TEST_KEY}\"] }\n",
        "all_routes: { filters: [ip: { allow: \"${env:WIREGATE_TEST_KEY}\" }] }\n",
        "all_routes: { filters: [rate_limit: { limit: \"${env:WIREGATE_TEST_KEY}\" }] }\n",
        "filters: { a: \"${env:WIREGATE_TEST_KEY}\" }\n",
    ] {
        gateway.write(&keys(wrong));
        let answer = gateway.admin("POST", "/reload");
        assert_eq!(answer.status, 422, "{wrong}");
        said.push(answer.text());
    }
    gateway.write(
        &keys("")
            .replace("upstream: app", "")
            .replace("respond: ok", "")
            .replace(
                "name: all,",
                "name: \"${env:WIREGATE_TEST_KEY}\", upstream: \"${env:WIREGATE_TEST_KEY}\",",
            ),
    );
    said.push(gateway.admin("POST", "/reload").text());
    said.push(gateway.admin("GET", "/config?format=yaml").text());
    said.push(gateway.admin("GET", "/metrics").text());
    said.push(gateway.admin("GET", "/readyz?verbose").text());
    gateway.access_log(2);
    said.push(std::fs::read_to_string(gateway.file("access.log")).unwrap());
    said.push(gateway.log());
    for text in said {
        assert!(!text.to_lowercase().contains("tr0ub4dor"), "{text}");
    }
}

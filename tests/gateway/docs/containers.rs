//! The image is what the page says, as far as that can be tried without one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use wiregate_sdk::types::Period;

use super::super::harness::wiregate;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What a gateway takes to end beyond its delay and its deadline, as the files say it.
const BEYOND: Duration = Duration::from_secs(12);

fn container() -> PathBuf {
    Path::new(ROOT).join("conf/container")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(container().join(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&read(name)).unwrap()
}

/// The instructions of the Dockerfile, each with its arguments, on one line.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap();
            (word.to_owned(), rest.trim().to_owned())
        })
        .collect()
}

/// The arguments of the last one of a kind, which are a list in JSON.
fn list(word: &str) -> Vec<String> {
    let all = instructions();
    let (_, rest) = all.iter().rfind(|(other, _)| other == word).unwrap();
    let begin = rest.find('[').unwrap();
    serde_json::from_str(&rest[begin..]).unwrap()
}

#[test]
fn the_image_runs_what_is_there() {
    let all = instructions();
    let words: Vec<&str> = all.iter().map(|(word, _)| word.as_str()).collect();
    let known = [
        "FROM",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    ];
    assert!(words.iter().all(|word| known.contains(word)), "{words:?}");
    let copied = all.iter().filter(|(word, _)| word == "COPY");
    for (_, rest) in copied.filter(|(_, rest)| !rest.starts_with("--from")) {
        let source = rest.split(' ').next().unwrap();
        assert!(Path::new(ROOT).join(source).exists(), "{source}");
    }
    // What is run in the shell is right for it, and the script that it calls is there.
    for (_, command) in all.iter().filter(|(word, _)| word == "RUN") {
        let checked = Command::new("sh").args(["-n", "-c", command]).output();
        assert!(checked.unwrap().status.success(), "{command}");
    }
    assert!(Path::new(ROOT).join("scripts/install-build.sh").exists());
    let rust = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let (_, version) = rust.split_once("\nrust-version = \"").unwrap();
    let version = version.split('"').next().unwrap();
    assert!(
        all[0].1.starts_with(&format!("rust:{version}-")),
        "{}",
        all[0].1
    );

    let user = &all.iter().find(|(word, _)| word == "USER").unwrap().1;
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0));
    // The commands are ones of the program.
    assert_eq!(list("ENTRYPOINT"), ["/usr/bin/wiregate"]);
    for command in [list("CMD"), list("HEALTHCHECK")[1..].to_vec()] {
        let mut command: Vec<&str> = command.iter().map(String::as_str).collect();
        command.push("--help");
        let output = wiregate(&command).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
}

#[test]
fn its_configuration_is_good_and_fits_the_orchestrator() {
    let file = container().join("wiregate.yaml");
    let output = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let (config, pod) = (yaml("wiregate.yaml"), yaml("kubernetes.yaml"));
    let spec = &pod["spec"]["template"]["spec"];
    let limit = |name: &str| -> Duration {
        let written = config["limits"][name].as_str().unwrap();
        written.parse::<Period>().unwrap().into()
    };
    let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap();
    let needed = limit("drain_delay") + limit("drain_deadline") + BEYOND;
    assert!(
        Duration::from_secs(grace) >= needed,
        "{grace} of {needed:?}"
    );
    // It is taken out of the service before it stops accepting.
    let gateway = &spec["containers"][0];
    let probe = &gateway["readinessProbe"];
    let number = |name: &str| probe[name].as_u64().unwrap();
    let noticed = (number("periodSeconds") + number("timeoutSeconds")) * number("failureThreshold");
    assert!(number("failureThreshold") > 1, "one late answer");
    assert!(Duration::from_secs(noticed) < limit("drain_delay"));

    let port = |name: &str| {
        let ports = gateway["ports"].as_array().unwrap().iter();
        let mut named = ports.filter(|port| port["name"] == name);
        named.next().unwrap()["containerPort"].to_string()
    };
    let bind = |value: &Value| {
        value["bind"]
            .as_str()
            .unwrap()
            .rsplit_once(':')
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(port("http"), bind(&config["listeners"]["public"]));
    assert_eq!(port("metrics"), bind(&config["metrics"]));
    for (probe, path) in [
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/livez"),
        ("startupProbe", "/livez"),
    ] {
        assert_eq!(gateway[probe]["httpGet"]["path"], path);
        assert_eq!(gateway[probe]["httpGet"]["port"], "metrics");
    }
    let arguments: Vec<&str> = gateway["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    assert_eq!(arguments, list("CMD"));
    let exposed = instructions()
        .into_iter()
        .find(|(word, _)| word == "EXPOSE")
        .unwrap()
        .1;
    assert_eq!(exposed, format!("{} {}", port("http"), port("metrics")));
}

#[test]
fn it_runs_without_rights_and_writes_nowhere_but_in_its_folder() {
    let steps = Path::new(ROOT).join("tests/gateway/docs/containers/steps.sh");
    let program = wiregate(&[]).get_program().to_owned();
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
        ])
        .arg(steps)
        .env("PROGRAM", program)
        .env("CONF", container())
        .env("RUN", list("CMD").join(" "))
        .env("HEALTH", list("HEALTHCHECK")[1..].join(" "))
        .env_remove("WIREGATE_CONFIG")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{told}");
    assert_eq!(
        said,
        "wiregate is running; its configuration is /etc/wiregate/wiregate.yaml\nok\n404\n\
         draining\nended with 0\ndone\n",
        "{told}"
    );
}

//! Which files are watched.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::harness::{Gateway, complete, curl, until};
use super::{answers, says};

#[test]
fn a_file_that_was_gone_for_a_while_is_noticed_when_it_is_back() {
    let gateway = Gateway::start(&answers("one"));
    std::fs::remove_file(gateway.file("wiregate.yaml")).unwrap();
    until("the problem is told", || {
        gateway.metric("wiregate_config_last_reload_successful") == 0.0
    });
    assert!(says(&gateway, "one"));
    gateway.write(&answers("two"));
    until("it is back", || says(&gateway, "two"));
}

#[test]
fn included_files_are_watched_also_those_that_appear() {
    let gateway = Gateway::start(&(answers("main") + "include: conf.d/*.yaml\n"));
    let route = |name: &str, body: &str| {
        format!(
            "routes: [{{ name: {name}, match: {{ path: /{name} }}, filters: [respond: {body}] }}]\n"
        )
    };
    let get = |name: &str| curl(&[&gateway.url(&format!("/{name}"))]).text();
    let folder = gateway.file("conf.d");
    for round in ["first", "second"] {
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.yaml"), route("a", round)).unwrap();
        until("the new file is read", || get("a") == round);
        std::fs::write(folder.join("b.yaml"), route("b", round)).unwrap();
        until("another one is read", || get("b") == round);
        std::fs::write(folder.join("a.yaml"), route("a", "changed")).unwrap();
        until("its change is read", || get("a") == "changed");
        std::fs::remove_dir_all(&folder).unwrap();
        until("they are gone", || get("a") == "main" && get("b") == "main");
    }
}

fn key(secret: &Path) -> String {
    let secret = secret.display();
    format!(
        "routes: [{{ name: all, filters: [api_key: {{ keys: [{{ name: a, key: \"${{file:{secret}}}\" }}] }}, \
         respond: ok] }}]\n"
    )
}

fn with_key(gateway: &Gateway, key: &str) -> u16 {
    curl(&["-H", &format!("x-api-key: {key}"), &gateway.url("/")]).status
}

#[test]
fn a_secret_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "first-of-the-keys\n").unwrap();
    let gateway = Gateway::start(&key(&secret));
    assert_eq!(with_key(&gateway, "first-of-the-keys"), 200);
    std::fs::write(&secret, "second-of-the-keys\n").unwrap();
    until("the new secret is in force", || {
        with_key(&gateway, "second-of-the-keys") == 200
    });
    assert_eq!(with_key(&gateway, "first-of-the-keys"), 401);
    // Without it the configuration is refused; the running one keeps it.
    std::fs::remove_file(&secret).unwrap();
    until("the problem is told", || {
        gateway.metric("wiregate_config_last_reload_successful") == 0.0
    });
    assert_eq!(with_key(&gateway, "second-of-the-keys"), 200);
    std::fs::write(&secret, "third-of-the-keys\n").unwrap();
    until("it is back", || {
        with_key(&gateway, "third-of-the-keys") == 200
    });
}

/// A folder as a configuration map of Kubernetes is mounted: `name -> ..data/name`, and
/// `..data -> ..VERSION`, which is replaced to bring all files at once.
fn mount(folder: &Path, version: &str, files: &[(&str, &str)]) {
    let versioned = folder.join(version);
    std::fs::create_dir(&versioned).unwrap();
    for (name, text) in files {
        std::fs::write(versioned.join(name), text).unwrap();
        let link = folder.join(name);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    symlink(version, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[test]
fn a_configuration_map_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("conf");
    std::fs::create_dir(&conf).unwrap();
    let secret = conf.join("secret");
    let text = complete(folder.path(), &key(&secret), "{}");
    mount(
        &conf,
        "..v1",
        &[("wiregate.yaml", &text), ("secret", "first-of-the-keys")],
    );
    let gateway = Gateway::start_file(folder, &conf.join("wiregate.yaml"));
    assert_eq!(with_key(&gateway, "first-of-the-keys"), 200);
    mount(
        &conf,
        "..v2",
        &[("wiregate.yaml", &text), ("secret", "other-of-the-keys")],
    );
    std::fs::remove_dir_all(conf.join("..v1")).unwrap();
    until("the new version is live", || {
        with_key(&gateway, "other-of-the-keys") == 200
    });
    mount(
        &conf,
        "..v3",
        &[("wiregate.yaml", &text), ("secret", "third-of-the-keys")],
    );
    until("the one after it as well", || {
        with_key(&gateway, "third-of-the-keys") == 200
    });
}

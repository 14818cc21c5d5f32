//! Users that are refused at load, and those of a file.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A file that is gone when the test is over.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: impl AsRef<[u8]>) -> Self {
        let name = format!("wiregate-{}-{name}.htpasswd", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn options(&self) -> String {
        format!("htpasswd: {}", self.0.display())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn reads_users_from_a_file() {
    let hash = bcrypt("ann's").replace("$2b$", "$2y$");
    let file = File::new(
        "good",
        format!("# users\n\nann:{hash}\r\nbob:{}\n", bcrypt("bob's")),
    );
    let filter = probe::<BasicAuth>(&format!(
        "{{ {}, users: [{{ name: eve, password: '${{env:evesdropper}}' }}] }}",
        file.options()
    ));
    for (name, password) in [("ann", "ann's"), ("bob", "bob's"), ("eve", "evesdropper")] {
        assert_eq!(get(&filter, name, password).await.status(), 200, "{name}");
    }
    assert_eq!(get(&filter, "# users", "").await.status(), 401);
}

#[test]
fn refuses_a_file_with_anything_else_in_it() {
    let hash = bcrypt("x");
    let text = format!(
        "ann:{hash}\nann:{hash}\nbob\ncid:$apr1$x$y\n:{hash}\ndan:$2b$99{}\n",
        &hash[6..]
    );
    let file = File::new("bad", text);
    let refused = refusal::<BasicAuth>(&file.options());
    for message in [
        ":2: expected a name of its own, found `ann` again",
        ":3: expected `name:hash`",
        ":4: expected a bcrypt hash, as `htpasswd -B` writes it",
        ":5: expected a name, found nothing",
        ":6: expected a cost of 4 to 16, found 99",
    ] {
        assert!(refused.contains(message), "{message}: {refused}");
    }
    assert_eq!(refused.lines().count(), 5, "{refused}");
    assert!(!refused.contains(&hash[7..]));
}

#[test]
fn refuses_files_that_hold_no_users() {
    let empty = File::new("empty", "# nobody\n");
    assert!(refusal::<BasicAuth>(&empty.options()).contains("expected users, found none"));
    let binary = File::new("binary", b"\xff\xfe");
    assert!(refusal::<BasicAuth>(&binary.options()).contains("cannot read"));
    for (path, message) in [
        ("users.htpasswd", "expected an absolute path"),
        (
            "/nowhere/users.htpasswd",
            "cannot read /nowhere/users.htpasswd",
        ),
        ("/", "expected a file of at most 16 MiB"),
    ] {
        let refused = refusal::<BasicAuth>(&format!("htpasswd: {path}"));
        assert!(
            refused.starts_with("1:11: ") && refused.contains(message),
            "{refused}"
        );
    }
}

#[test]
fn refuses_users_that_are_none() {
    let hash = bcrypt("secret");
    let argon = argon2id("secret");
    let costly = argon.replace("m=16", "m=300000");
    for (user, message) in [
        (
            "{ name: a }".to_owned(),
            "expected either `password_hash` or `password`",
        ),
        (
            format!("{{ name: a, password: '${{env:x}}', password_hash: '{hash}' }}"),
            "expected either",
        ),
        (
            format!("{{ name: 'a:b', password_hash: '{hash}' }}"),
            "without a colon",
        ),
        (
            format!("{{ name: '', password_hash: '{hash}' }}"),
            "expected a name, found nothing",
        ),
        (
            format!("{{ name: \"a\\tb\", password_hash: '{hash}' }}"),
            "without control characters",
        ),
        (
            "{ name: a, password: hunter2 }".into(),
            "expected a reference to a secret, found a value that is written out",
        ),
        (
            "{ name: a, password: '${env:}' }".into(),
            "expected a secret, found nothing",
        ),
        (
            "{ name: a, password: \"${env:secret\\n}\" }".into(),
            "without control characters, found one in it",
        ),
        (
            "{ name: a, password_hash: secret }".into(),
            "expected a hash that begins with",
        ),
        (
            format!(
                "{{ name: a, password_hash: '{}' }}",
                hash.replace("$2b$", "$2x$")
            ),
            "begins with",
        ),
        (
            format!(
                "{{ name: a, password_hash: '{}' }}",
                hash.replace("$04$", "$17$")
            ),
            "a cost of 4 to 16, found 17",
        ),
        (
            format!("{{ name: a, password_hash: '{}' }}", &hash[..50]),
            "expected a bcrypt hash",
        ),
        (
            format!("{{ name: a, password_hash: '{costly}' }}"),
            "found m=300000,t=1,p=1",
        ),
        (
            "{ name: a, password_hash: '$argon2id$v=19$m=16,t=1,p=1' }".into(),
            "with its salt and output",
        ),
        (
            "{ name: a, password_hash: $argon2id$nonsense$ }".into(),
            "expected an argon2id hash",
        ),
        (
            format!(
                "{{ name: a, password_hash: '{}' }}",
                argon.replace("argon2id", "argon2d")
            ),
            "begins with",
        ),
    ] {
        let refused = refusal::<BasicAuth>(&format!("users: [{user}]"));
        assert!(refused.contains(message), "{user}: {refused}");
        assert!(
            !refused.contains("hunter2")
                && !refused.contains("secret\n")
                && !refused.contains(&hash[7..]),
            "{refused}"
        );
    }
}

#[test]
fn refuses_to_have_no_users_or_one_name_twice() {
    assert_eq!(
        refusal::<BasicAuth>("{}"),
        "1:1: expected `users`, `htpasswd`, or `consumers:` in the configuration with a `basic_auth`"
    );
    let refused = refusal::<BasicAuth>(
        "users: [{ name: a, password: '${env:x}' }, { name: a, password: '${env:y}' }]",
    );
    assert_eq!(refused, "1:52: expected a name of its own, found `a` again");
    assert!(refusal::<BasicAuth>(&users(", realm: ''")).contains("printable ASCII"));
}

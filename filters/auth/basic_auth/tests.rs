use std::fs;
use std::path::PathBuf;

use argon2::{Argon2, Params, PasswordHasher};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use wiregate_sdk::Clock;
use wiregate_sdk::build::Kept;
use wiregate_sdk::testing::{Call, Probe, Seen, probe, refusal};

use super::*;

fn argon2id(password: &str) -> String {
    let params = Params::new(16, 1, 1, None).unwrap();
    let hash = Argon2::from(params).hash_password(password.as_bytes());
    hash.unwrap().to_string()
}

fn bcrypt(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

/// Ann has an argon2id hash, bob a bcrypt hash, and eve a password.
fn users(rest: &str) -> String {
    format!(
        "{{ users: [{{ name: ann, password_hash: '{}', groups: [admins] }}, \
         {{ name: bob, password_hash: '{}' }}, {{ name: eve, password: '${{env:evesdropper}}' }}]{rest} }}",
        argon2id("ann's"),
        bcrypt("bob's"),
    )
}

fn login(call: Call, name: &str, password: &str) -> Call {
    let token = BASE64_STANDARD.encode(format!("{name}:{password}"));
    call.header("authorization", &format!("Basic {token}"))
}

async fn get(filter: &Probe, name: &str, password: &str) -> Seen {
    login(filter.get("/"), name, password).send().await
}

#[tokio::test]
async fn lets_users_in_by_each_kind_of_password() {
    let filter = probe::<BasicAuth>(&users(""));
    for (name, password) in [("ann", "ann's"), ("bob", "bob's"), ("eve", "evesdropper")] {
        // The second time from memory, where it was hashed.
        for _ in 0..2 {
            let seen = get(&filter, name, password).await;
            assert_eq!(seen.status(), 200, "{name}");
            let identity = seen.exchange.identity.unwrap();
            assert_eq!((&*identity.name, identity.by), (name, "basic_auth"));
            assert_eq!(identity.groups.len(), usize::from(name == "ann"));
        }
    }
}

#[tokio::test]
async fn refuses_wrong_passwords_and_unknown_users_alike() {
    let filter = probe::<BasicAuth>(&users(""));
    get(&filter, "ann", "ann's").await;
    let mut replies = Vec::new();
    for (name, password) in [
        ("ann", "bob's"),
        ("ann", ""),
        ("bob", "ann's"),
        ("eve", "evesdroppe"),
        ("Ann", "ann's"),
        ("", ""),
    ] {
        let seen = get(&filter, name, password).await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (401, Some("invalid_credentials"))
        );
        assert!(seen.exchange.identity.is_none());
        replies.push(format!("{:?}", seen.reply));
    }
    replies.dedup();
    assert_eq!(replies.len(), 1);
}

#[tokio::test]
async fn an_unknown_user_does_not_come_in_with_the_password_of_a_known_one() {
    let filter = probe::<BasicAuth>(&users(""));
    for number in 0..12 {
        for password in ["ann's", "bob's", "evesdropper"] {
            let seen = get(&filter, &format!("nobody{number}"), password).await;
            assert_eq!(seen.status(), 401);
        }
    }
}

#[test]
fn unknown_names_stand_for_all_users_and_each_for_always_the_same() {
    let hash = format!("password_hash: '{}'", bcrypt("eve's"));
    let options = users("").replace("password: '${env:evesdropper}'", &hash);
    let value = wiregate_sdk::value::read(&"t.yaml".into(), &options).unwrap();
    // After a reload, and in another gateway as well.
    let [users, others] = [(); 2].map(|()| {
        let config: Config = wiregate_sdk::value::decode(&value).unwrap();
        Users::new(config.users, None, Arc::default(), false)
            .ok()
            .unwrap()
    });
    let mut seen = std::collections::HashSet::new();
    for number in 0..100 {
        let name = format!("nobody{number}");
        let (user, is_known) = users.find(&name);
        assert!(!is_known);
        assert!(Arc::ptr_eq(&user, &users.find(&name).0));
        let other = others.find(&name).0;
        assert_eq!(user.identity.name, other.identity.name, "{name}");
        seen.insert(user.identity.name.clone());
    }
    assert_eq!(seen.len(), 3);
    assert!(users.find("ann").1);
}

#[tokio::test]
async fn asks_for_credentials() {
    let filter = probe::<BasicAuth>(&users(", realm: the \"metrics\""));
    let bearer = filter.get("/").header("authorization", "Bearer YTpi");
    for call in [filter.get("/"), bearer] {
        let seen = call.send().await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (401, Some("missing_credentials"))
        );
        assert_eq!(
            seen.header("www-authenticate"),
            Some(r#"Basic realm="the \"metrics\"", charset="UTF-8""#)
        );
    }
    let seen = probe::<BasicAuth>(&users("")).get("/").send().await;
    let challenge = r#"Basic realm="restricted", charset="UTF-8""#;
    assert_eq!(seen.header("www-authenticate"), Some(challenge));
}

#[tokio::test]
async fn refuses_what_cannot_be_credentials() {
    let filter = probe::<BasicAuth>(&users(""));
    for field in ["Basic", "Basic !", "Basic YQ=="] {
        let seen = filter.get("/").header("authorization", field).send().await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (401, Some("invalid_credentials"))
        );
        assert!(seen.header("www-authenticate").is_some());
    }
    let twice = login(filter.get("/"), "eve", "evesdropper");
    let seen = login(twice, "eve", "evesdropper").send().await;
    assert_eq!(seen.status(), 401);
    let long = get(&filter, "eve", &"x".repeat(2_000)).await;
    assert_eq!(long.status(), 401);
}

#[tokio::test]
async fn does_not_pass_the_credentials_on_unless_told_to() {
    let seen = get(&probe::<BasicAuth>(&users("")), "eve", "evesdropper").await;
    assert!(!seen.request.headers.contains_key("authorization"));
    let keeping = probe::<BasicAuth>(&users(", strip: false"));
    let seen = get(&keeping, "eve", "evesdropper").await;
    assert!(seen.request.headers.contains_key("authorization"));
}

#[tokio::test]
async fn names_and_passwords_may_be_of_any_script() {
    let options = format!(
        "users: [{{ name: Søren, password_hash: '{}' }}]",
        argon2id("пароль: 密")
    );
    let filter = probe::<BasicAuth>(&options);
    assert_eq!(get(&filter, "Søren", "пароль: 密").await.status(), 200);
}

#[tokio::test]
async fn bcrypt_users_cannot_have_passwords_that_bcrypt_would_cut() {
    let password = "x".repeat(72);
    let options = format!(
        "users: [{{ name: ann, password_hash: '{}' }}]",
        bcrypt(&password)
    );
    let filter = probe::<BasicAuth>(&options);
    assert_eq!(get(&filter, "ann", &password).await.status(), 200);
    assert_eq!(
        get(&filter, "ann", &format!("{password}y")).await.status(),
        401
    );
}

#[tokio::test]
async fn a_changed_password_holds_from_the_reload_on() {
    let options = |password| {
        format!(
            "users: [{{ name: ann, password_hash: '{}' }}]",
            bcrypt(password)
        )
    };
    let old = options("old");
    let filter = probe::<BasicAuth>(&old);
    assert_eq!(get(&filter, "ann", "old").await.status(), 200);
    let filter = filter.reload::<BasicAuth>(&old);
    assert_eq!(get(&filter, "ann", "old").await.status(), 200);
    let filter = filter.reload::<BasicAuth>(&options("new"));
    assert_eq!(get(&filter, "ann", "old").await.status(), 401);
    assert_eq!(get(&filter, "ann", "new").await.status(), 200);
}

#[tokio::test]
async fn a_user_who_is_gone_or_renamed_is_not_let_in_from_memory() {
    let hash = bcrypt("ann's");
    let options = |name| format!("users: [{{ name: {name}, password_hash: '{hash}' }}]");
    let filter = probe::<BasicAuth>(&options("ann"));
    assert_eq!(get(&filter, "ann", "ann's").await.status(), 200);
    let filter = filter.reload::<BasicAuth>(&options("anna"));
    let seen = get(&filter, "ann", "ann's").await;
    assert_eq!((seen.status(), seen.exchange.identity), (401, None));
    assert_eq!(get(&filter, "anna", "ann's").await.status(), 200);
}

#[test]
fn filters_remember_each_for_itself_and_take_turns_together() {
    let mut value = wiregate_sdk::value::read(&"t.yaml".into(), &users("")).unwrap();
    wiregate_sdk::testing::resolve(&mut value);
    let (kept, clock, mut tasks) = (Kept::default(), Clock::manual(), Vec::new());
    let [one, other] = ["one", "other"].map(|scope| {
        let config: Config = wiregate_sdk::value::decode(&value).unwrap();
        let name = BasicAuth::NAME;
        let mut cx = Build::new("probe", name, scope.into(), &clock, &kept, &mut tasks);
        BasicAuth::build(config, &mut cx).ok().unwrap().verifier
    });
    assert!(!Arc::ptr_eq(&one, &other));
    assert!(one.shares_room_with(&other));
}

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

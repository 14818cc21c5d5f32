mod users;

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

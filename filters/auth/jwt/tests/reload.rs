//! What a reload does with the tokens that were verified.

use std::sync::Arc;

use serde_json::json;
use wiregate_sdk::build::Kept;
use wiregate_sdk::consumers::{Credential, Holder};
use wiregate_sdk::value::{Place, decode, read};
use wiregate_sdk::{Build, Clock, Consumer, Consumers, Filter, Identity, Reply};

use super::{Jwt, SECRET, claims, hs256};
use crate::auth::jwt::Config;

const OPTIONS: &str = "issuer: ours\naudience: orders\nalgorithms: HS256\n";

fn build(options: &str, kept: &Kept, consumers: Consumers) -> Jwt {
    let mut value = read(&"options.yaml".into(), options).unwrap();
    wiregate_sdk::testing::resolve(&mut value);
    let config: Config = decode(&value).unwrap();
    let (clock, mut tasks) = (Clock::default(), Vec::new());
    let mut cx = Build::new("probe", Jwt::NAME, String::new(), &clock, kept, &mut tasks)
        .knowing(Arc::new(consumers));
    Jwt::build(config, &mut cx).unwrap()
}

fn ours(more: &str) -> String {
    format!("{OPTIONS}keys: {{ secret: '${{env:{SECRET}}}' }}\n{more}")
}

fn nobody() -> Consumers {
    Consumers::default()
}

async fn verify(filter: &Jwt, token: &str) -> Result<Arc<Identity>, Reply> {
    let tag = filter.verified.tag_of(token.as_bytes());
    let now = Clock::default().now();
    filter.verify(token.as_bytes(), tag, now).await
}

async fn verified(filter: &Jwt, token: &str) -> Arc<Identity> {
    verify(filter, token)
        .await
        .unwrap_or_else(|_| panic!("it was to be let in"))
}

/// Who a token says is calling, where it need not be verified.
fn remembered(filter: &Jwt, token: &str) -> Option<Arc<Identity>> {
    let tag = filter.verified.tag_of(token.as_bytes());
    filter.remembered(&tag, filter.keys.generation(), Clock::default().now())
}

#[tokio::test]
async fn a_verified_token_is_not_verified_again() {
    let kept = Kept::default();
    let token = hs256(&claims(&json!({})));
    let filter = build(&ours(""), &kept, nobody());
    assert!(remembered(&filter, &token).is_none());
    verified(&filter, &token).await;
    let mut kept = kept;
    for _ in 0..3 {
        kept = kept.next();
        let filter = build(&ours(""), &kept, nobody());
        assert_eq!(&*remembered(&filter, &token).unwrap().name, "ann");
    }
}

#[tokio::test]
async fn what_another_policy_has_verified_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let secret = |text: &str| {
        let key = super::signer::b64(text);
        json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": key }] }).to_string()
    };
    std::fs::write(&file, secret(SECRET)).unwrap();
    let of_file = format!("{OPTIONS}keys: {{ file: '{}' }}\n", file.display());
    let token = hs256(&claims(&json!({})));
    let other = SECRET.replace('a', "b");
    for (before, after) in [
        (ours(""), ours("leeway: 1s")),
        (ours(""), ours("typ: at+jwt")),
        (ours(""), ours("require: [jti]")),
        (ours(""), ours("name: iss")),
        (
            ours(""),
            ours("").replace("audience: orders", "audience: stock"),
        ),
        (ours(""), ours("").replace("issuer: ours", "issuer: theirs")),
        (ours(""), ours("").replace(SECRET, &other)),
        (ours(""), of_file.clone()),
        (of_file.clone(), of_file.clone()),
    ] {
        std::fs::write(&file, secret(SECRET)).unwrap();
        let kept = Kept::default();
        let filter = build(&before, &kept, nobody());
        verified(&filter, &token).await;
        let kept = kept.next();
        if before == after {
            let filter = build(&after, &kept, nobody());
            assert!(remembered(&filter, &token).is_some());
            std::fs::write(&file, secret(&other)).unwrap();
        }
        let filter = build(&after, &kept.next(), nobody());
        assert!(remembered(&filter, &token).is_none(), "{before}\n{after}");
    }
}

/// The consumer `shop`, of whom the tokens of this subject are.
fn shop(subject: &str, plan: &str) -> Consumers {
    let consumer = Arc::new(Consumer {
        name: "shop".into(),
        groups: [Box::from("buyers")].into(),
        plan: Some(plan.into()),
    });
    let holder = Holder {
        consumer,
        place: Place {
            file: "wiregate.yaml".into(),
            line: 1,
            column: 1,
            width: 1,
        },
    };
    let credential = Credential::Subject {
        issuer: Some("ours".into()),
        subject: subject.into(),
    };
    let mut consumers = Consumers::default();
    consumers.add(holder.clone());
    assert!(consumers.give(credential, holder).is_ok());
    consumers
}

#[tokio::test]
async fn its_consumer_is_the_one_that_is_known_now() {
    let options = ours("consumer: sub");
    let token = hs256(&claims(&json!({ "groups": ["staff"] })));
    let plan = |identity: Arc<Identity>| {
        assert_eq!(
            identity.groups.iter().map(|it| &**it).collect::<Vec<_>>(),
            ["staff", "buyers"]
        );
        let consumer = identity.consumer.as_ref();
        consumer.unwrap().plan.clone().unwrap().to_string()
    };
    let kept = Kept::default();
    let filter = build(&options, &kept, shop("ann", "free"));
    assert_eq!(plan(verified(&filter, &token).await), "free");
    assert_eq!(plan(remembered(&filter, &token).unwrap()), "free");
    let kept = kept.next();
    let filter = build(&options, &kept, shop("ann", "pro"));
    for _ in 0..2 {
        assert_eq!(plan(remembered(&filter, &token).unwrap()), "pro");
    }
    // One that is gone is not found again, and verifying refuses.
    let filter = build(&options, &kept.next(), shop("eve", "pro"));
    assert!(remembered(&filter, &token).is_none());
    assert!(verify(&filter, &token).await.is_err());
}

//! When the service is ready: when all that it needs is there, or has been waited for long enough.

use super::super::harness::{Gateway, curl, echo, until, upstream};
use super::super::issuer::{Issuer, Key, OPENID};
use super::super::listeners::pki::Authority;
use super::super::upgrade::start_in;
use super::{Listener, ROUTE, service};

#[test]
fn it_is_ready_when_first_checks_are_in_and_not_before() {
    let origin = echo();
    // A check that takes half a second, and before which nothing is known.
    let health = "health: { http: \"/?delay=700ms\", every: 1h, timeout: 5s, start: unhealthy }";
    let text = upstream(&origin).replace("] } }", &format!("], {health} }} }}"));
    assert!(text.contains("start: unhealthy"), "{text}");
    let (gateway, mut told) = service(&(text + ROUTE), |_| {});
    told.until("READY=1");
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    gateway.tells("INFO ready");
    let log = gateway.log();
    let (listening, ready) = (
        log.find("the admin API is listening"),
        log.find("INFO ready"),
    );
    assert!(listening < ready, "{log}");
}

/// Listeners of every kind, and a filter that needs the keys of this issuer.
fn guarded(issuer: &Issuer, limits: &str) -> (Gateway, Listener, std::thread::JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    Authority::new("ca").issue(folder.path(), "site", &["localhost"]);
    let at = folder.path().display().to_string();
    let (unix, notify) = (format!("{at}/public.sock"), folder.path().join("notify"));
    let text = format!(
        "version: 1\nlimits: {{ {limits} }}\naccess_log: off\nlisteners:\n  public: {{ bind: \"127.0.0.1:0\" }}\n  \
         other: {{ bind: \"127.0.0.1:0\" }}\n  local: {{ bind: \"unix:{unix}\" }}\n  secure: {{ bind: \"127.0.0.1:0\", \
         tls: {{ certificates: {{ certificate: site.pem, key: site.key }} }} }}\n\
         admin: {{ bind: \"unix:{at}/admin.sock\" }}\n\
         routes: [{{ name: all, filters: [jwt: {{ issuer: \"{}\", audience: orders }}, respond: 204] }}]\n",
        issuer.url
    );
    std::fs::write(folder.path().join("wiregate.yaml"), text).unwrap();
    let listener = Listener::new(&notify);
    issuer.hold();
    // Whoever starts it waits until it is ready: somebody else has the issuer go on.
    let (asked, admin) = (issuer.clone(), format!("{at}/admin.sock"));
    let going = std::thread::spawn(move || {
        until("keys are asked for", || asked.asked(OPENID) > 0);
        let ready = curl(&["--unix-socket", &admin, "http://localhost/readyz"]);
        assert_eq!((ready.status, &*ready.text()), (503, "starting\n"));
        asked.go_on();
    });
    let gateway = start_in(folder, |command| {
        command.env("NOTIFY_SOCKET", notify);
    });
    (gateway, listener, going)
}

#[test]
fn it_is_ready_when_the_first_keys_are_in_and_every_listener_answers() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let (gateway, mut told, going) = guarded(&issuer, "start_deadline: 20s");
    told.until("EXTEND_TIMEOUT_USEC=22000000");
    told.until("READY=1");
    going.join().unwrap();
    // It has the keys: however soon a token comes, nobody waits for them.
    let bearer = format!(
        "authorization: Bearer {}",
        key.token(&issuer.url, &serde_json::json!({}))
    );
    let asked = issuer.asked("/keys");
    issuer.hold();
    let local = gateway.file("public.sock").display().to_string();
    for arguments in [
        vec![gateway.url("/")],
        vec![format!("http://{}/", gateway.listener("other"))],
        vec![
            "-k".into(),
            format!("https://{}/", gateway.listener("secure")),
        ],
        vec!["--unix-socket".into(), local, "http://localhost/".into()],
    ] {
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments.extend(["-H", &bearer]);
        assert_eq!(curl(&arguments).status, 204, "{arguments:?}");
    }
    assert_eq!(issuer.asked("/keys"), asked);
    issuer.go_on();
    assert!(
        !gateway.log().contains("ready without"),
        "{}",
        gateway.log()
    );
}

#[test]
fn an_issuer_that_is_away_holds_it_up_for_a_bounded_time() {
    let issuer = Issuer::start(); // it has nothing to tell
    let (gateway, mut told, going) = guarded(&issuer, "start_deadline: 1500ms");
    told.until("READY=1");
    going.join().unwrap();
    gateway.tells("ready without what a filter fetches");
    gateway.tells(&issuer.url);
    assert_eq!(curl(&[&gateway.url("/")]).status, 401);
}

#[test]
fn an_endpoint_that_cannot_be_checked_holds_it_up_for_a_bounded_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let health = "health: { http: /, every: 2m, timeout: 1m }";
    let text = format!(
        "limits: {{ start_deadline: 500ms }}\n\
         upstreams: {{ app: {{ endpoints: [\"{address}\"], {health} }} }}\n{ROUTE}"
    );
    let (gateway, mut told) = service(&text, |_| {});
    told.until("READY=1");
    gateway.tells("ready without the first health checks");
}

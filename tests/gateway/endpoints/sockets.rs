//! Endpoints at Unix sockets.

use super::https_server::{Authority, Nginx, telling};
use super::{get, problem, to};
use crate::harness::{Gateway, curl};

#[test]
fn reaches_nginx_at_a_unix_socket_and_keeps_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}/app.sock", folder.path().display());
    let nginx = Nginx::start(folder.path(), &telling(&socket, ""), &socket);
    let gateway = Gateway::start(&format!(
        "workers: 1\n{}",
        to(&format!("{{ endpoints: [\"{socket}\"] }}"))
    ));
    let connection = |text: String| text.split('|').nth(4).unwrap().to_owned();
    let first = get(&gateway);
    assert_eq!(first.status, 200, "{}", first.text());
    for _ in 0..5 {
        let answer = get(&gateway);
        assert_eq!(connection(answer.text()), connection(first.text()));
    }
    drop(nginx);
    assert_eq!(get(&gateway).status, 502);
}

#[test]
fn a_socket_may_have_tls_too() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}/app.sock", folder.path().display());
    let authority = Authority::new("one");
    authority.write(folder.path(), "good", "app.internal", 4000);
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let server = telling(
        &format!("{socket} ssl"),
        "ssl_certificate good.pem; ssl_certificate_key good.key;",
    );
    let _nginx = Nginx::start(folder.path(), &server, &socket);
    let tls = |name: &str| {
        let ca = folder.path().join("ca.pem");
        let tls = format!("{{ ca: \"{}\", server_name: {name} }}", ca.display());
        to(&format!("{{ endpoints: [\"{socket}\"], tls: {tls} }}"))
    };
    let gateway = Gateway::start(&tls("app.internal"));
    let answer = curl(&["-H", "host: example.com", &gateway.url("/")]);
    assert!(
        answer.text().starts_with("HTTP/1.1|app.internal|"),
        "{}",
        answer.text()
    );
    gateway.reload(&tls("other.internal"));
    assert_eq!(problem(&get(&gateway)), "502 tls_certificate_error");
}

//! What fetches take of the gateway when nobody waits for them any more.

use std::net::TcpStream;
use std::sync::atomic::Ordering;

use super::super::harness::until;
use super::collapse::{HEAD, held};
use super::*;

#[test]
fn fetches_that_outlive_their_clients_have_places_among_the_requests() {
    let origin = held(&[HEAD, "0123456789"]);
    let gateway = Gateway::start(&format!(
        "limits: {{ requests: 2 }}\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], retry: {{ attempts: 1 }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n",
        origin.address
    ));
    for (number, path) in ["/1", "/2"].iter().enumerate() {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        until("it was asked", || {
            origin.count.load(Ordering::SeqCst) == number + 1
        });
        origin::reset(stream);
        gateway.access_log(number + 1);
    }
    assert_eq!(get(&gateway, "/3", &[]).status, 503);
    for _ in 0..6 {
        origin.go.send(()).unwrap();
    }
    until("their places are free", || {
        get(&gateway, "/3", &[]).status == 200
    });
}

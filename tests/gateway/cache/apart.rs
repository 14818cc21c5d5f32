//! Requests that have to ask for themselves, beside one that fetches.

use std::sync::mpsc;

use super::super::harness::until;
use super::collapse::{clients, gateway, join};
use super::*;

#[test]
fn those_who_have_to_ask_each_validate_at_the_same_time() {
    let (go, goes) = mpsc::channel::<()>();
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    let (heads, goes) = (seen.clone(), Mutex::new(goes));
    let address = origin::serve(move |_, mut stream| {
        while let Some(head) = origin::head(&mut stream) {
            let validates = head.to_ascii_lowercase().contains("if-none-match: \"a\"");
            let number = {
                let mut heads = heads.lock().unwrap();
                heads.push(validates);
                heads.len()
            };
            if number > 1 {
                let _ = goes.lock().unwrap().recv();
            }
            let (status, body) = match validates {
                true => ("304 Not Modified", ""),
                false => ("200 OK", "body"),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncache-control: no-cache\r\netag: \"a\"\r\n\
                 content-length: 4\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let gateway = gateway(address, "{}");
    assert_eq!(get(&gateway, "/a", &[]).status, 200);
    let clients = clients(&gateway, 3, "/a");
    until("each of them asks", || seen.lock().unwrap().len() == 4);
    drop(go);
    let answers = join(clients);
    for answer in &answers {
        assert_eq!((answer.status, &*answer.text()), (200, "body"));
        assert!(
            did(answer).contains("fwd=stale; fwd-status=304"),
            "{}",
            did(answer)
        );
    }
    let stored = answers
        .iter()
        .filter(|answer| did(answer).ends_with("; stored"));
    assert_eq!(stored.count(), 1);
    assert_eq!(*seen.lock().unwrap(), [false, true, true, true]);
}

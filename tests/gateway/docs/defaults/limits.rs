//! Defaults of `limits`.

use wiregate::config::model::{Http2, Limits, Memory, Overload};
use wiregate::value::ShortOrFull;

use super::{Defaults, optional};

pub fn add(all: &mut Defaults) {
    let Limits {
        connections,
        requests,
        overload,
        memory,
        retry_after,
        never_shed,
        body_rate,
        body_grace,
        response_rate,
        buffered_body,
        body_memory,
        body_deadline,
        head,
        head_deadline,
        idle,
        client_write,
        drain_delay,
        drain_deadline,
        start_deadline,
        idle_upstream_connections,
        websocket_idle,
        http2,
    } = Limits::default();
    assert_eq!(connections, None, "what is there instead is told in words");
    let connections = "three quarters of the files that may be open";
    assert!(never_shed.is_empty());
    let never_shed = "none";
    let drain_delay = optional(drain_delay);
    add!(all, "limits": connections, requests, retry_after, never_shed);
    add!(all, "limits": body_rate, body_grace, response_rate, buffered_body, body_memory);
    add!(all, "limits": body_deadline, head, head_deadline, idle, client_write);
    add!(all, "limits": drain_delay, drain_deadline, start_deadline);
    add!(all, "limits": idle_upstream_connections, websocket_idle);
    let (ShortOrFull::Full(overload), ShortOrFull::Full(memory)) = (overload, memory) else {
        panic!("both are looked at");
    };
    add_marks(all, &overload, &memory);
    add_http2(all, http2);
}

fn add_marks(all: &mut Defaults, overload: &Overload, memory: &Memory) {
    let Overload { delay, during } = overload;
    add!(all, "limits.overload": delay, during);
    let Memory { limit, soft, hard } = memory;
    assert_eq!(*limit, None, "what is there instead is told in words");
    let limit = "what there is";
    add!(all, "limits.memory": limit, soft, hard);
}

fn add_http2(all: &mut Defaults, http2: Http2) {
    let Http2 {
        streams,
        header_list,
        stream_window,
        connection_window,
        send_buffer,
        continuations,
        pings,
        settings,
        priorities,
        window_updates,
        empty_data,
        resets,
        unknown_frames,
    } = http2;
    add!(all, "limits.http2": streams, header_list, stream_window, connection_window, send_buffer);
    add!(all, "limits.http2": continuations, pings, settings, priorities, window_updates);
    add!(all, "limits.http2": empty_data, resets, unknown_frames);
}

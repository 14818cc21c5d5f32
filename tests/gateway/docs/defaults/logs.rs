//! Defaults of the access log and of traces.

use wiregate::config::model::{Rotate, Sample, Syslog, Traces};

use super::{Defaults, decoded};

pub fn add(all: &mut Defaults) {
    add_access_log(all);
    add_traces(all);
}

fn add_access_log(all: &mut Defaults) {
    let Sample {
        share: _,
        statuses,
        slower_than,
    } = decoded("share: 1%\n");
    add!(all, "access_log.sample": statuses, slower_than);
    let Rotate {
        size: _,
        every: _,
        keep,
    } = decoded("size: 1MiB\n");
    all.add("access_log.rotate.keep", &keep.value);
    let Syslog {
        to: _,
        header,
        facility,
        severity,
        tag,
    } = decoded("to: \"unix:/dev/log\"\n");
    // Words of the configuration are those of the code, in lower case.
    let word = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let (header, facility, severity) = (word(&header), word(&facility), word(&severity));
    add!(all, "access_log.syslog": header, facility, severity);
    all.add("access_log.syslog.tag", &tag.value);
}

fn add_traces(all: &mut Defaults) {
    let Traces {
        endpoint: _,
        headers,
        ca,
        sample,
        parent,
        service,
        resource,
        queue,
        batch,
        interval,
        timeout,
        compression,
    } = decoded("endpoint: \"http://127.0.0.1:4318/v1/traces\"\n");
    assert!(headers.is_empty() && ca.is_none() && resource.is_empty());
    let (parent, compression) = (parent.word(), compression.word());
    add!(all, "traces": sample, parent, compression);
    all.add("traces.service", &service.value);
    all.add("traces.queue", &queue.value);
    all.add("traces.batch", &batch.value);
    all.add("traces.interval", &interval.value);
    all.add("traces.timeout", &timeout.value);
}

//! What people read.

use super::*;
use crate::config::{Arguments, Config};
use crate::metrics::{Flag, RequestProtocol};

fn own(json: bool) -> Own {
    let config = Config::read(&Arguments::default(), |name| {
        let value = match name {
            "POD_NAME" => "client-1",
            "POD_NAMESPACE" => "default",
            "INSTANCE_IP" => "10.0.0.1",
            _ => return None,
        };
        Some(value.to_owned())
    });
    let mut own = Own::assumed(&config.unwrap());
    own.mesh.access_log = true;
    own.mesh.access_log_json = json;
    own
}

fn line() -> Line {
    Line {
        start: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)),
        method: "GET".into(),
        path: "/reviews/0".into(),
        protocol: "HTTP/1.1",
        authority: "reviews:9080".into(),
        user_agent: "a \"quoted\"\nagent".into(),
        request_id: "id".into(),
        upstream_host: Some("10.0.0.2:9080".parse().unwrap()),
        upstream_cluster: "outbound|9080||reviews.default.svc.cluster.local".into(),
        service_time: Some(Duration::from_millis(5)),
        details: "via_upstream",
        ..Line::default()
    }
}

fn print(json: bool) -> String {
    let log = AccessLog::new(Registry::new());
    assert!(log.is_on(&own(json)));
    let key = HttpKey {
        protocol: RequestProtocol::Http,
        code: 503,
        grpc_status: None,
        flags: Flag::UpstreamConnectionTermination.into(),
    };
    let record = HttpRecord {
        duration: Duration::from_millis(7),
        response_bytes: 42,
        ..HttpRecord::default()
    };
    log.write(&line(), key, &record, 11);
    let receiver = log.inner.waiting.lock().take().unwrap();
    match receiver.try_recv().unwrap() {
        Item::Line(line) => line,
        Item::Mark { .. } => panic!("nobody waits"),
    }
}

#[test]
fn text_is_istios_default() {
    assert_eq!(
        print(false),
        "[2023-11-14T22:13:20.123Z] \"GET /reviews/0 HTTP/1.1\" 503 UC via_upstream - \"-\" 11 42 \
         7 5 \"-\" \"a \\x22quoted\\x22\\x0aagent\" \"id\" \"reviews:9080\" \"10.0.0.2:9080\" \
         outbound|9080||reviews.default.svc.cluster.local - - - - default\n"
    );
}

#[test]
fn json_has_types_and_nulls() {
    let value: serde_json::Value = serde_json::from_str(&print(true)).unwrap();
    assert_eq!(value["response_code"], 503);
    assert_eq!(value["method"], "GET");
    assert_eq!(value["x_forwarded_for"], serde_json::Value::Null);
    assert_eq!(value.as_object().unwrap().len(), 24);
}

#[test]
fn lines_beyond_the_queue_are_counted_and_not_waited_for() {
    let metrics = Registry::new();
    let log = AccessLog::new(metrics.clone());
    assert!(log.is_on(&own(false)));
    for _ in 0..QUEUE + 3 {
        log.write_tcp(&line(), Flags::NONE, 0, 0, Duration::ZERO);
    }
    assert_eq!(metrics.counters().access_log_dropped.value(), 3);
}

/// Takes its time.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<u8>>>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(20));
        let part = &bytes[..bytes.len().min(1_000)];
        self.0.lock().extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_are_written_before_the_end() {
    let log = AccessLog::new(Registry::new());
    assert!(log.is_on(&own(false)));
    for _ in 0..20 {
        log.write_tcp(&line(), Flags::NONE, 0, 0, Duration::ZERO);
    }
    let output = Slow::default();
    std::thread::spawn({
        let (log, output) = (log.clone(), output.clone());
        move || log.write_to(output)
    });
    log.flush(Duration::from_secs(20));
    let written = output
        .0
        .lock()
        .iter()
        .filter(|byte| **byte == b'\n')
        .count();
    assert_eq!(written, 20);
}

#[test]
fn a_writer_that_is_not_there_is_not_waited_for() {
    let log = AccessLog::new(Registry::new());
    log.flush(Duration::from_millis(1));
}

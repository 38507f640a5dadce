//! Envoy's command operators (`%REQ(:METHOD)%` and so on), as far as they mean something here;
//! others print as `-`.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};

use super::{End, Line};
use crate::discover::Mesh;

/// Istio's default format of text lines.
const TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% \
%PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% \
%CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% \
%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" \
%UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% \
%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Istio's default keys of JSON lines.
const JSON: [(&str, &str); 24] = [
    ("start_time", "%START_TIME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    (
        "connection_termination_details",
        "%CONNECTION_TERMINATION_DETAILS%",
    ),
    (
        "upstream_transport_failure_reason",
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    ),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    (
        "upstream_service_time",
        "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    ),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("route_name", "%ROUTE_NAME%"),
];

/// `2026-11-20T10:11:12.345Z`.
const TIME: EncodedConfig = Config::DEFAULT
    .set_time_precision(TimePrecision::Second {
        decimal_digits: std::num::NonZero::new(3),
    })
    .encode();

/// How a line is printed.
#[derive(Debug)]
pub(super) enum Format {
    Text(Template),
    Json(Vec<(String, Template)>),
}

/// Texts and operators by turns.
#[derive(Debug)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Operator(Operator),
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    Start,
    Method,
    Path,
    Protocol,
    Code,
    Flags,
    Details,
    TransportFailure,
    BytesReceived,
    BytesSent,
    Duration,
    ServiceTime,
    ForwardedFor,
    UserAgent,
    RequestId,
    Authority,
    UpstreamHost,
    UpstreamCluster,
    UpstreamLocal,
    DownstreamLocal,
    DownstreamRemote,
    ServerName,
    RouteName,
    Nothing,
}

impl Format {
    pub(super) fn new(mesh: &Mesh) -> Self {
        match (&mesh.access_log_format, mesh.access_log_json) {
            (None, false) => Self::Text(Template::parse(TEXT)),
            (Some(text), false) => Self::Text(Template::parse(text)),
            (None, true) => Self::Json(
                JSON.iter()
                    .map(|(key, text)| ((*key).to_owned(), Template::parse(text)))
                    .collect(),
            ),
            (Some(text), true) => Self::from_json(text),
        }
    }

    /// A JSON object of strings; what is none is printed as text.
    fn from_json(text: &str) -> Self {
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
            Ok(object) => Self::Json(
                object
                    .into_iter()
                    .map(|(key, value)| (key, Template::parse(value.as_str().unwrap_or_default())))
                    .collect(),
            ),
            Err(_) => Self::Text(Template::parse(text)),
        }
    }

    pub(super) fn print(&self, line: &Line, end: End) -> String {
        match self {
            Self::Text(template) => {
                let mut text = template.print(line, end);
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                text
            }
            Self::Json(fields) => {
                let object: serde_json::Map<_, _> = fields
                    .iter()
                    .map(|(key, template)| (key.clone(), template.json(line, end)))
                    .collect();
                format!("{}\n", serde_json::Value::Object(object))
            }
        }
    }
}

impl Template {
    fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        // Operators stand between pairs of percent signs; `%%` is a percent sign.
        for (index, part) in text.split('%').enumerate() {
            match (index % 2, part) {
                (0, "") => {}
                (0, text) => pieces.push(Piece::Text(text.to_owned())),
                (_, "") => pieces.push(Piece::Text("%".to_owned())),
                (_, operator) => pieces.push(Piece::Operator(Operator::parse(operator))),
            }
        }
        Self(pieces)
    }

    fn print(&self, line: &Line, end: End) -> String {
        let mut text = String::with_capacity(512);
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Operator(operator) => match operator.value(line, end) {
                    Some(value) => text.push_str(&value),
                    None => text.push('-'),
                },
            }
        }
        text
    }

    /// One operator alone keeps its type, and is null without a value.
    fn json(&self, line: &Line, end: End) -> serde_json::Value {
        match self.0.as_slice() {
            [Piece::Operator(operator)] => match operator.value(line, end) {
                None => serde_json::Value::Null,
                Some(value) if operator.is_number() => value
                    .parse::<u64>()
                    .map_or(serde_json::Value::Null, Into::into),
                Some(value) => value.into(),
            },
            _ => self.print(line, end).into(),
        }
    }
}

impl Operator {
    fn parse(text: &str) -> Self {
        // A length limit such as `REQ(USER-AGENT):20` is not kept.
        let name = text
            .rsplit_once(':')
            .filter(|(_, limit)| limit.bytes().all(|b| b.is_ascii_digit()));
        match name
            .map_or(text, |(name, _)| name)
            .to_ascii_uppercase()
            .as_str()
        {
            "START_TIME" => Self::Start,
            "REQ(:METHOD)" => Self::Method,
            "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)" | "REQ(:PATH)" => Self::Path,
            "PROTOCOL" => Self::Protocol,
            "RESPONSE_CODE" => Self::Code,
            "RESPONSE_FLAGS" => Self::Flags,
            "RESPONSE_CODE_DETAILS" => Self::Details,
            "UPSTREAM_TRANSPORT_FAILURE_REASON" => Self::TransportFailure,
            "BYTES_RECEIVED" => Self::BytesReceived,
            "BYTES_SENT" => Self::BytesSent,
            "DURATION" => Self::Duration,
            "RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)" => Self::ServiceTime,
            "REQ(X-FORWARDED-FOR)" => Self::ForwardedFor,
            "REQ(USER-AGENT)" => Self::UserAgent,
            "REQ(X-REQUEST-ID)" => Self::RequestId,
            "REQ(:AUTHORITY)" => Self::Authority,
            "UPSTREAM_HOST" => Self::UpstreamHost,
            "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Self::UpstreamCluster,
            "UPSTREAM_LOCAL_ADDRESS" => Self::UpstreamLocal,
            "DOWNSTREAM_LOCAL_ADDRESS" => Self::DownstreamLocal,
            "DOWNSTREAM_REMOTE_ADDRESS" => Self::DownstreamRemote,
            "REQUESTED_SERVER_NAME" => Self::ServerName,
            "ROUTE_NAME" => Self::RouteName,
            _ => Self::Nothing,
        }
    }

    fn is_number(self) -> bool {
        matches!(
            self,
            Self::Code | Self::BytesReceived | Self::BytesSent | Self::Duration | Self::ServiceTime
        )
    }

    fn value(self, line: &Line, end: End) -> Option<String> {
        let text = |text: &str| (!text.is_empty()).then(|| escape(text));
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        match self {
            Self::Start => line.start.and_then(timestamp),
            Self::Method => text(&line.method),
            Self::Path => text(&line.path),
            Self::Protocol => text(line.protocol),
            Self::Code => Some(end.code.to_string()),
            Self::Flags => Some(end.flags.to_string()),
            Self::Details => text(line.details),
            Self::TransportFailure => text(&line.transport_failure),
            Self::BytesReceived => Some(end.bytes_received.to_string()),
            Self::BytesSent => Some(end.bytes_sent.to_string()),
            Self::Duration => Some(end.duration.as_millis().to_string()),
            Self::ServiceTime => line.service_time.map(|time| time.as_millis().to_string()),
            Self::ForwardedFor => text(&line.forwarded_for),
            Self::UserAgent => text(&line.user_agent),
            Self::RequestId => text(&line.request_id),
            Self::Authority => text(&line.authority),
            Self::UpstreamHost => address(line.upstream_host),
            Self::UpstreamCluster => text(&line.upstream_cluster),
            Self::UpstreamLocal => address(line.upstream_local),
            Self::DownstreamLocal => address(line.downstream_local),
            Self::DownstreamRemote => address(line.downstream_remote),
            Self::ServerName => text(&line.server_name),
            Self::RouteName => text(if line.method.is_empty() {
                ""
            } else {
                "default"
            }),
            Self::Nothing => None,
        }
    }
}

fn timestamp(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Iso8601::<TIME>).ok()
}

/// Keeps a client from ending a line or a quotation.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || character == '"' {
            let _ = write!(escaped, "\\x{:02x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

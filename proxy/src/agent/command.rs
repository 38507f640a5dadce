//! The subcommands `wait` and `request`, which lifecycle hooks of injected pods run in the proxy's
//! container (`pilot-agent wait`, `pilot-agent request --debug-port=15020 POST drain`).
//!
//! They speak HTTP/1.0 over a blocking socket: a hook must be there in milliseconds.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use lateen_wire::ports;

/// The most of an answer that is kept.
const ANSWER_LIMIT: u64 = 64 * 1024 * 1024;

/// A hook did not reach its aim.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// An argument cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The proxy did not become ready.
    #[error("the proxy is not ready after {0:?}; its readiness answered last: {1}")]
    NotReady(Duration, String),
    /// No exchange with the proxy.
    #[error("asking the proxy at {0}: {1}")]
    Io(SocketAddr, std::io::Error),
    /// The proxy refused.
    #[error("the proxy at {0} answered {1}: {2}")]
    Status(SocketAddr, u16, String),
    /// Not HTTP.
    #[error("the answer of {0} is not HTTP")]
    NotHttp(SocketAddr),
}

impl From<lexopt::Error> for CommandError {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// `wait`: returns once the proxy is ready. Flags as Istio's: `--periodMillis` (500),
/// `--requestTimeoutMillis` (500), `--timeoutSeconds` (60), `--url`.
///
/// # Errors
/// When the time is up, or an argument cannot be used.
pub fn wait(mut arguments: lexopt::Parser) -> Result<(), CommandError> {
    let (mut period, mut limit) = (Duration::from_millis(500), Duration::from_secs(60));
    let mut request_limit = Duration::from_millis(500);
    let mut target = Target::local(ports::HEALTH, "/healthz/ready");
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("periodMillis") => period = millis(&mut arguments)?,
            lexopt::Arg::Long("requestTimeoutMillis") => request_limit = millis(&mut arguments)?,
            lexopt::Arg::Long("timeoutSeconds") => limit = millis(&mut arguments)? * 1000,
            lexopt::Arg::Long("url") => target = Target::of_url(&text(&mut arguments)?)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let start = Instant::now();
    loop {
        let last = match target.exchange("GET", request_limit) {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        };
        if start.elapsed() + period > limit {
            return Err(CommandError::NotReady(limit, last));
        }
        std::thread::sleep(period);
    }
}

/// `request [--debug-port PORT] METHOD PATH`: sends one request to the proxy and returns the answer.
///
/// # Errors
/// When the answer is not 200, there is none, or an argument cannot be used.
pub fn request(mut arguments: lexopt::Parser) -> Result<Vec<u8>, CommandError> {
    let mut port = ports::ADMIN;
    let mut words = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("debug-port") => port = number(&mut arguments)?,
            lexopt::Arg::Value(word) => words.push(word.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().into()),
        }
    }
    let [method, path] = words.as_slice() else {
        return Err(CommandError::Usage(
            "usage: request [--debug-port PORT] METHOD PATH".to_owned(),
        ));
    };
    if !method.bytes().all(|byte| byte.is_ascii_uppercase()) || path.contains(['\r', '\n', ' ']) {
        return Err(CommandError::Usage(format!(
            "'{method} {path}' makes no HTTP request"
        )));
    }
    Target::local(port, path).exchange(method, Duration::from_secs(30))
}

struct Target {
    address: SocketAddr,
    path: String,
}

impl Target {
    fn local(port: u16, path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            path: format!("/{path}"),
        }
    }

    fn of_url(url: &str) -> Result<Self, CommandError> {
        let usage = || CommandError::Usage(format!("'{url}' is not http://localhost:PORT/PATH"));
        let uri: http::Uri = url.parse().map_err(|_| usage())?;
        match (uri.host(), uri.port_u16(), uri.path_and_query()) {
            (Some("localhost" | "127.0.0.1"), Some(port), Some(path)) => {
                Ok(Self::local(port, path.as_str()))
            }
            _ => Err(usage()),
        }
    }

    /// The body of a 200 answer.
    fn exchange(&self, method: &str, limit: Duration) -> Result<Vec<u8>, CommandError> {
        let answer = self
            .raw_exchange(method, limit)
            .map_err(|e| CommandError::Io(self.address, e))?;
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = response.parse(&answer) else {
            return Err(CommandError::NotHttp(self.address));
        };
        let body = answer.get(length..).unwrap_or_default();
        match response.code {
            Some(200) => Ok(body.to_vec()),
            code => {
                let text = String::from_utf8_lossy(body).trim().to_owned();
                Err(CommandError::Status(
                    self.address,
                    code.unwrap_or_default(),
                    text,
                ))
            }
        }
    }

    fn raw_exchange(&self, method: &str, limit: Duration) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        let path = &self.path;
        let request =
            format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_LIMIT).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

fn text(arguments: &mut lexopt::Parser) -> Result<String, CommandError> {
    Ok(arguments.value()?.to_string_lossy().into_owned())
}

fn number<N: std::str::FromStr>(arguments: &mut lexopt::Parser) -> Result<N, CommandError> {
    let value = text(arguments)?;
    value
        .parse()
        .map_err(|_| CommandError::Usage(format!("'{value}' is not a number that fits")))
}

fn millis(arguments: &mut lexopt::Parser) -> Result<Duration, CommandError> {
    number(arguments).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection after another with the given texts, and gives back what was asked.
    fn serve(answers: &'static [&'static str]) -> (u16, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = std::thread::spawn(move || {
            answers
                .iter()
                .map(|answer| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut request = [0; 1024];
                    let length = stream.read(&mut request).unwrap();
                    stream.write_all(answer.as_bytes()).unwrap();
                    String::from_utf8_lossy(&request[..length])
                        .lines()
                        .next()
                        .unwrap()
                        .to_owned()
                })
                .collect()
        });
        (port, asked)
    }

    fn parser(words: &[&str]) -> lexopt::Parser {
        lexopt::Parser::from_args(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn waits_until_the_proxy_is_ready() {
        let (port, asked) = serve(&["HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"]);
        let url = format!("http://localhost:{port}/healthz/ready");
        wait(parser(&["--url", &url, "--periodMillis", "1"])).unwrap();
        assert_eq!(asked.join().unwrap(), ["GET /healthz/ready HTTP/1.0"; 2]);
    }

    #[test]
    fn gives_up_when_the_time_is_over() {
        let (port, _asked) = serve(&["HTTP/1.1 503 No\r\n\r\nwarming"]);
        let url = format!("http://localhost:{port}/");
        let error = wait(parser(&["--url", &url, "--timeoutSeconds=0"])).unwrap_err();
        assert!(error.to_string().contains("warming"), "{error}");
    }

    #[test]
    fn sends_a_request_and_prints_the_answer() {
        let (port, asked) = serve(&["HTTP/1.1 200 OK\r\n\r\nOK\n"]);
        let debug_port = format!("--debug-port={port}");
        assert_eq!(
            request(parser(&[&debug_port, "POST", "drain"])).unwrap(),
            b"OK\n"
        );
        assert_eq!(asked.join().unwrap(), ["POST /drain HTTP/1.0"]);
    }

    #[test]
    fn refuses_what_makes_no_request() {
        assert!(request(parser(&["GET"])).is_err());
        assert!(request(parser(&["GET", "/a\r\nX: y"])).is_err());
        assert!(wait(parser(&["--url", "http://example.org/"])).is_err());
    }
}

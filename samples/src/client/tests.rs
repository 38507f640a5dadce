use clap::Parser;

use super::*;
use crate::server;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
}

/// Runs `client ARGUMENTS`; whether it ended well.
async fn client(arguments: &str) -> bool {
    let arguments = ["client"].into_iter().chain(arguments.split(' '));
    let options = CommandLine::try_parse_from(arguments).unwrap_or_else(|error| panic!("{error}"));
    let code = run(options.options, CancellationToken::new()).await;
    code.unwrap_or_else(|error| panic!("{error:#}")) == ExitCode::SUCCESS
}

/// An HTTP server that answers every request; its address.
async fn http_server() -> String {
    let listener = server::listen(Some([127, 0, 0, 1].into()), 0)
        .await
        .unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = crate::echo::http_router("echo-0".to_owned());
    tokio::spawn(server::serve(listener, router, CancellationToken::new()));
    address
}

#[tokio::test]
async fn requests_of_every_protocol_succeed() {
    let address = http_server().await;
    for protocol in ["http1", "http2", "grpc"] {
        for connections in ["--keep-alive", "--new-connections"] {
            let arguments = format!(
                "http --url http://{address} --protocol {protocol} --requests 20 --concurrency 3 \
                 {connections} -o json"
            );
            assert!(client(&arguments).await, "{arguments}");
        }
    }
}

#[tokio::test]
async fn what_is_not_expected_is_a_failure() {
    let address = http_server().await;
    assert!(client(&format!("get http://{address}/")).await);
    assert!(!client(&format!("get http://{address}/?status=503")).await);
    assert!(!client(&format!("http --url http://{address}/?status=503")).await);
    assert!(
        client(&format!(
            "http --url http://{address}/?status=503 --expect 503"
        ))
        .await
    );
    assert!(
        !client(&format!(
            "http --url http://{address}/x.Y/Z --protocol grpc"
        ))
        .await
    );
    assert!(
        !client(&format!(
            "http --url http://{address}/?delay=5 --timeout 0.05"
        ))
        .await
    );
    assert!(!client("http --url http://127.0.0.1:1").await);
}

#[tokio::test]
async fn websockets_echo() {
    let address = http_server().await;
    assert!(client(&format!("websocket ws://{address}/websocket --send hello")).await);
    assert!(
        !client(&format!("tcp {address} --timeout 1")).await,
        "HTTP does not echo lines"
    );
    let watch = format!("watch --websocket ws://{address}/ --duration 0.2 --interval 0.01");
    assert!(client(&watch).await);
}

#[tokio::test]
async fn a_break_is_reported() {
    let listener = server::listen(Some([127, 0, 0, 1].into()), 0)
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            drop(connection);
        }
    });
    assert!(
        !client(&format!(
            "watch --tcp {address} --duration 0.1 --interval 0.01"
        ))
        .await
    );
}

//! Port 15020: rewritten probes and hooks of the application, merged metrics, drain and quit.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use lateen_wire::names;
use tokio::net::TcpListener;
use tracing::{debug, info};

use super::Context;
use super::health::{READY, readiness};
use super::metrics::{PATH as METRICS, TEXT_FORMAT};
use super::prober::{self, Prober};
use super::server::{self, Answer, is_local, plain, typed};
use crate::drain::Callers;

pub(crate) async fn serve(listener: TcpListener, context: Arc<Context>) {
    let prober = Prober::new(context.pod_address);
    server::serve(listener, move |peer, request| {
        let (context, prober) = (Arc::clone(&context), prober.clone());
        async move { answer(peer, &request, &context, &prober).await }
    })
    .await;
}

async fn answer(
    peer: SocketAddr,
    request: &Request<Incoming>,
    context: &Context,
    prober: &Prober,
) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, READY) => readiness(context),
        (&Method::GET, METRICS) => merged_metrics(request, context).await,
        (&Method::POST, "/drain" | "/quitquitquit") if !is_local(peer) => plain(
            StatusCode::FORBIDDEN,
            "Only requests from within the pod are allowed.\n",
        ),
        (&Method::POST, "/drain") => {
            info!("Drain asked for.");
            context.proxy.drain();
            plain(StatusCode::OK, "OK\n")
        }
        (&Method::POST, "/quitquitquit") => {
            info!("Quit asked for.");
            context.proxy.quit();
            plain(StatusCode::OK, "OK\n")
        }
        (&Method::GET, names::CALLERS_LEFT) => callers_leave(context).await,
        (_, "/drain" | "/quitquitquit") => {
            plain(StatusCode::METHOD_NOT_ALLOWED, "Only POST is allowed.\n")
        }
        (_, path) if path.starts_with("/app-health/") || path.starts_with("/app-lifecycle/") => {
            probe(path, request, context, prober).await
        }
        _ => plain(StatusCode::NOT_FOUND, "Not found.\n"),
    }
}

/// Answers when the application may be told to stop. The kubelet goes on whatever the status is.
async fn callers_leave(context: &Context) -> Answer {
    let callers = context.proxy.callers_leave().await;
    // Anybody may ask.
    debug!(?callers, "A container of the application may end.");
    let text = match callers {
        Callers::Left => "Callers have left.\n",
        Callers::Stay => "Callers still come; the time is up.\n",
    };
    plain(StatusCode::OK, text)
}

async fn probe(
    path: &str,
    request: &Request<Incoming>,
    context: &Context,
    prober: &Prober,
) -> Answer {
    let Some(probe) = context.probes.get(path) else {
        return plain(
            StatusCode::BAD_REQUEST,
            format!("The pod has no probe at {path}.\n"),
        );
    };
    match prober.run(probe, request.headers()).await {
        Ok(answer) => answer,
        Err(error) => {
            debug!(path, %error, "Probe of the application failed.");
            prober::failure(&error)
        }
    }
}

async fn merged_metrics(request: &Request<Incoming>, context: &Context) -> Answer {
    let mut text = String::new();
    context.proxy.write_metrics(&mut text);
    let failed = |error: &super::scrape::ScrapeError| {
        debug!(%error, "Scraping the application failed.");
    };
    context
        .targets
        .append_to(&mut text, request.headers(), failed)
        .await;
    typed(StatusCode::OK, TEXT_FORMAT, text)
}

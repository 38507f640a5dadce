//! The end of a proxy's life, in which no request is lost.
//!
//! ```text
//!  Serving ──/drain or SIGTERM──▶ Draining ──SIGTERM──▶ Closing ──nothing active, or deadline──▶ gone
//! ```
//!
//! * **Serving**: everything is normal.
//! * **Draining**: readiness is false, everything still works. Inbound HTTP/1 responses carry
//!   `connection: close`, inbound HTTP/2 connections get GOAWAY: callers move to other endpoints by
//!   themselves. Outbound is untouched, since the application may need it to finish its work.
//! * **Closing**: the application is gone, or goes at this moment. Inbound connections that are
//!   idle are closed. The process ends when no connection is active, at the latest
//!   `terminationDrainDuration` after SIGTERM. A native sidecar, which the kubelet drains while the
//!   application still runs and stops last, ends at once when nothing is active, and leaves callers
//!   a second to close connections themselves, since a request may be under way on one that looks
//!   idle from here; one that was not drained before stops together with its application and stays
//!   at least `MINIMUM_DRAIN_DURATION`, so that the application can still call out.
//!
//! A container of the application that is told to stop asks before, by a hook that the injector gives
//! it, whether its callers have left ([`Drain::callers_leave`]).
//!
//! Every connection is followed by [`Drain::follow`], the only place that waits for a phase beside
//! a connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::DrainTimes;

/// How long callers have to close idle connections before we do.
const CALLERS_LEAVE: Duration = Duration::from_secs(1);
/// Callers have left when nothing came for this long: word of the pod's end reaches their proxies in
/// much less.
const QUIET: Duration = Duration::from_millis(500);
/// How long a container that ends with its pod is held at most, in good time for what it does itself
/// with the rest of the pod's grace period,
const LONGEST_HOLD: Duration = Duration::from_secs(5);
/// and one that may be replaced in a pod that lives on, whose callers have no cause to leave. By then
/// the kubelet has had the proxy drained too, if it is the pod that ends.
const LONGEST_HOLD_ALIVE: Duration = Duration::from_secs(2);

/// Where in its life the proxy is. Phases only move forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Normal.
    Serving,
    /// Callers are asked to go elsewhere; everything still works.
    Draining,
    /// Idle connections are closed; the process ends when none is active.
    Closing,
}

/// Which way a connection goes, seen from the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the application.
    Inbound,
    /// From the application.
    Outbound,
}

/// Handle on the proxy's phase and on the number of its connections. Clones share both.
#[derive(Clone, Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    active: Arc<Active>,
}

/// Counts a connection as active while it exists.
#[derive(Debug)]
pub struct ActiveConnection {
    active: Arc<Active>,
    direction: Direction,
}

/// Counts a request to the application as in hand while it exists.
#[derive(Debug)]
pub struct RequestInHand(Arc<Active>);

/// What became of the wait for callers to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Nothing is in hand and nothing comes any more.
    Left,
    /// They still come.
    Stay,
}

/// Something that can be told to finish what it does and take nothing new.
pub trait Graceful: Future {
    /// Asks once; the future must be polled on until it ends.
    fn finish(self: Pin<&mut Self>);
}

impl<C: Graceful + ?Sized> Graceful for Pin<Box<C>> {
    fn finish(self: Pin<&mut Self>) {
        self.get_mut().as_mut().finish();
    }
}

#[derive(Debug, Default)]
struct Active {
    inbound: AtomicUsize,
    outbound: AtomicUsize,
    none: Notify,
    /// Requests that came to the application so far; an opaque connection counts as one.
    requests: AtomicUsize,
    /// Those of them that are not answered.
    in_hand: AtomicUsize,
}

impl Drain {
    /// A proxy that serves.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a drain is made once, by name")]
    pub fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            active: Arc::default(),
        }
    }

    /// Starts the gentle phase; called by `/drain`.
    pub fn begin(&self) {
        self.advance(Phase::Draining);
    }

    /// The present phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the phase is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut receiver = self.phase.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = receiver.wait_for(|now| *now >= phase).await;
    }

    /// Counts a connection until the guard is dropped.
    #[must_use]
    pub fn enter(&self, direction: Direction) -> ActiveConnection {
        self.active.count(direction).fetch_add(1, Ordering::Relaxed);
        ActiveConnection {
            active: Arc::clone(&self.active),
            direction,
        }
    }

    /// Number of active connections in one direction.
    #[must_use]
    pub fn active(&self, direction: Direction) -> usize {
        self.active.count(direction).load(Ordering::Relaxed)
    }

    /// Waits until no request is in hand and none has come for a while, but not for ever. Callers
    /// leave by themselves: control tells those of the mesh that the pod ends, and others are told
    /// with the next response.
    pub async fn callers_leave(&self) -> Callers {
        let started = Instant::now();
        let mut before = self.active.requests.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.active.requests.load(Ordering::Relaxed);
            if now == before && self.active.in_hand.load(Ordering::Relaxed) == 0 {
                return Callers::Left;
            }
            before = now;
            let longest = match self.phase() {
                Phase::Serving => LONGEST_HOLD_ALIVE,
                Phase::Draining | Phase::Closing => LONGEST_HOLD,
            };
            if started.elapsed() >= longest {
                return Callers::Stay;
            }
        }
    }

    /// Drives a connection to its end and asks it to finish once `phase` is reached.
    pub async fn follow<C: Graceful>(&self, phase: Phase, connection: C) -> C::Output {
        let mut connection = pin!(connection);
        let mut reached = pin!(self.reached(phase));
        let mut asked = false;
        std::future::poll_fn(|context| {
            if !asked && reached.as_mut().poll(context).is_ready() {
                asked = true;
                connection.as_mut().finish();
            }
            connection.as_mut().poll(context)
        })
        .await
    }

    /// The rest of the life after SIGTERM; returns when the process may end.
    pub async fn close(&self, times: DrainTimes) {
        let started = Instant::now();
        let deadline = started + times.termination;
        let drained_before = self.phase() >= Phase::Draining;
        self.advance(Phase::Draining);
        if drained_before {
            let patience = deadline.min(started + CALLERS_LEAVE);
            // Either way it is time to close.
            let _ = tokio::time::timeout_at(patience, self.active.wait_for_none()).await;
        } else {
            tokio::time::sleep_until(deadline.min(started + times.minimum)).await;
        }
        self.advance(Phase::Closing);
        if tokio::time::timeout_at(deadline, self.active.wait_for_none())
            .await
            .is_err()
        {
            tracing::warn!(
                inbound = self.active(Direction::Inbound),
                outbound = self.active(Direction::Outbound),
                "Connections were still open at the end of the drain."
            );
        }
    }

    fn advance(&self, phase: Phase) {
        let moved = self.phase.send_if_modified(|now| {
            let moves = *now < phase;
            *now = phase.max(*now);
            moves
        });
        if moved {
            tracing::info!(?phase, "The drain moved on.");
        }
    }
}

impl ActiveConnection {
    /// A request to the application has come; it is in hand until the guard is dropped.
    #[must_use]
    pub fn request(&self) -> RequestInHand {
        self.active.requests.fetch_add(1, Ordering::Relaxed);
        self.active.in_hand.fetch_add(1, Ordering::Relaxed);
        RequestInHand(Arc::clone(&self.active))
    }
}

impl Active {
    fn count(&self, direction: Direction) -> &AtomicUsize {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }

    fn total(&self) -> usize {
        self.inbound.load(Ordering::Relaxed) + self.outbound.load(Ordering::Relaxed)
    }

    async fn wait_for_none(&self) {
        loop {
            let mut changed = pin!(self.none.notified());
            changed.as_mut().enable();
            if self.total() == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for ActiveConnection {
    fn drop(&mut self) {
        self.active
            .count(self.direction)
            .fetch_sub(1, Ordering::Relaxed);
        if self.active.total() == 0 {
            self.active.none.notify_waiters();
        }
    }
}

impl Drop for RequestInHand {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: DrainTimes = DrainTimes {
        termination: Duration::from_secs(5),
        minimum: Duration::from_secs(2),
    };

    #[tokio::test(start_paused = true)]
    async fn a_drained_proxy_ends_when_nothing_is_active() {
        let drain = Drain::new();
        let connection = drain.enter(Direction::Inbound);
        drain.begin();
        let started = Instant::now();
        let other = drain.clone();
        let closing = tokio::spawn(async move { other.close(TIMES).await });
        drain.reached(Phase::Closing).await;
        assert!(!closing.is_finished());
        drop(connection);
        closing.await.unwrap();
        assert!(started.elapsed() <= CALLERS_LEAVE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_was_not_drained_stays_for_its_application() {
        let drain = Drain::new();
        let started = Instant::now();
        drain.close(TIMES).await;
        assert_eq!(started.elapsed(), TIMES.minimum);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_what_does_not_end_by_itself() {
        let drain = Drain::new();
        let _connection = drain.enter(Direction::Outbound);
        let started = Instant::now();
        drain.close(TIMES).await;
        assert_eq!(started.elapsed(), TIMES.termination);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_have_left_when_nothing_is_in_hand_and_nothing_comes() {
        let drain = Drain::new();
        let connection = drain.enter(Direction::Inbound);
        let in_hand = connection.request();
        let (waiting, started) = (drain.clone(), Instant::now());
        let waiting = tokio::spawn(async move { waiting.callers_leave().await });
        tokio::time::sleep(2 * QUIET).await;
        drop(in_hand);
        drop(connection.request());
        assert!(!waiting.is_finished());
        assert_eq!(waiting.await.unwrap(), Callers::Left);
        assert!(started.elapsed() >= 3 * QUIET && started.elapsed() <= 5 * QUIET);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_stay_do_not_hold_the_application_for_ever() {
        let drain = Drain::new();
        let connection = drain.enter(Direction::Inbound);
        let _in_hand = connection.request();
        for longest in [LONGEST_HOLD_ALIVE, LONGEST_HOLD] {
            let started = Instant::now();
            assert_eq!(drain.callers_leave().await, Callers::Stay);
            assert_eq!(started.elapsed(), longest);
            drain.begin();
        }
    }
}

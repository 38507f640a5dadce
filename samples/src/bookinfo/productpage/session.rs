//! Who is signed in: the name itself, percent-encoded in a cookie. A shop for show needs no more.

use axum::http::{HeaderMap, header};

use crate::percent::{decode, encode};

const COOKIE: &str = "session";

/// The user of a request, if there is one.
pub(super) fn user(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .and_then(|(_, value)| decode(value))
        .filter(|user| !user.is_empty())
}

/// The `Set-Cookie` that signs a user in.
pub(super) fn begin(user: &str) -> String {
    format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", encode(user))
}

/// The `Set-Cookie` that signs the user out.
pub(super) fn end() -> String {
    format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_comes_back_as_signed_in() {
        for name in ["jason", "Zoë O'Hara", "50%; session=x", "名前"] {
            let cookie = begin(name);
            let pair = cookie.split(';').next().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, format!("a=b; {pair}").parse().unwrap());
            assert_eq!(user(&headers).as_deref(), Some(name));
        }
    }

    #[test]
    fn broken_cookies_are_nobody() {
        for cookie in [
            "session=",
            "session=%",
            "session=%zz",
            "session=%FF",
            "other=jason",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            assert_eq!(user(&headers), None, "{cookie}");
        }
    }
}

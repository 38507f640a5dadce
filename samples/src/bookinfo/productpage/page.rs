//! The pages of the shop as HTML. Every text that comes from outside is escaped where it is written.

use serde_json::Value;

use super::calls::Answer;
use super::html::escape;
use super::{PRODUCTS, Product};

/// Most stars a reviewer can give.
const MAX_STARS: usize = 5;

/// What `details` tells, and how the page calls it.
const FACTS: [(&str, &str); 8] = [
    ("author", "Author"),
    ("year", "Year"),
    ("type", "Type"),
    ("pages", "Pages"),
    ("publisher", "Publisher"),
    ("language", "Language"),
    ("ISBN-10", "ISBN-10"),
    ("ISBN-13", "ISBN-13"),
];

/// The shop's front page.
pub(super) fn index() -> String {
    let [product] = &PRODUCTS;
    let body = format!(
        r#"<section class="hero">
<p class="kicker">One book, four services</p>
<h1>{title}</h1>
<p class="lead">A small bookshop whose page is put together from four services. See it as one of two users:</p>
<p class="choices">
<a class="button" href="/productpage?u=normal">Normal user</a>
<a class="button quiet" href="/productpage?u=test">Test user</a>
</p>
</section>"#,
        title = escape(product.title),
    );
    document(None, &body)
}

/// A book's page.
pub(super) fn product(
    product: &Product,
    user: Option<&str>,
    details: &Answer,
    reviews: &Answer,
) -> String {
    let body = format!(
        r#"<section class="hero">
<p class="kicker">From the shelf of comedies</p>
<h1>{title}</h1>
<p class="lead">{description}</p>
</section>
<div class="panels">
<section class="panel" id="details">
{details}
</section>
<section class="panel" id="reviews">
{reviews}
</section>
</div>"#,
        title = escape(product.title),
        description = description(product),
        details = details_panel(details),
        reviews = reviews_panel(reviews),
    );
    document(user, &body)
}

/// A book's description, with a link to more.
pub(super) fn description(product: &Product) -> String {
    format!(
        r#"{} <a href="{}">Read more</a>"#,
        escape(product.description),
        escape(product.more)
    )
}

fn document(user: Option<&str>, body: &str) -> String {
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>Simple Bookstore App</title>
<link rel="icon" href="/static/icon.svg"/>
<link rel="stylesheet" href="/static/style.css"/>
</head>
<body>
<header>
<a class="brand" href="/">Bookinfo <small>sample</small></a>
{account}
</header>
<main>
{body}
</main>
</body>
</html>
"#,
        account = account(user),
    )
}

fn account(user: Option<&str>) -> String {
    match user {
        Some(user) => format!(
            r#"<form class="account" method="post" action="/logout">
<span>Signed in as <strong>{}</strong></span>
<button type="submit">Sign out</button>
</form>"#,
            escape(user)
        ),
        None => r#"<form class="account" method="post" action="/login">
<input name="username" placeholder="User name" aria-label="User name" required="required"/>
<input name="passwd" type="password" placeholder="Password" aria-label="Password"/>
<button type="submit">Sign in</button>
</form>"#
            .to_owned(),
    }
}

fn details_panel(details: &Answer) -> String {
    let facts = match details {
        Answer::Bad(_, sorry) => return error_panel("Error fetching product details", sorry),
        Answer::Good(facts) => facts,
    };
    let rows: String = FACTS
        .into_iter()
        .filter_map(|(key, label)| Some((label, facts.get(key)?)))
        .map(|(label, value)| format!("<dt>{label}</dt><dd>{}</dd>\n", escape(&plain(value))))
        .collect();
    format!("<h2>Book Details</h2>\n<dl>\n{rows}</dl>")
}

fn reviews_panel(answer: &Answer) -> String {
    let answer = match answer {
        Answer::Bad(_, sorry) => return error_panel("Error fetching product reviews", sorry),
        Answer::Good(answer) => answer,
    };
    let reviews = answer.get("reviews").and_then(Value::as_array);
    let quotes: String = reviews.into_iter().flatten().map(quote).collect();
    let mut panel = format!("<h2>Book Reviews</h2>\n{quotes}");
    if let Some(pod) = answer.get("podname") {
        let pod = escape(&plain(pod));
        panel.push_str(&format!(
            "<p class=\"origin\">Reviews served by: <code>{pod}</code></p>"
        ));
    }
    panel
}

fn quote(review: &Value) -> String {
    let field = |name: &str| escape(&review.get(name).map(plain).unwrap_or_default());
    format!(
        "<figure>\n<blockquote>{}</blockquote>\n<figcaption>{}{}</figcaption>\n</figure>\n",
        field("text"),
        field("reviewer"),
        review.get("rating").map(rating).unwrap_or_default(),
    )
}

fn rating(rating: &Value) -> String {
    if let Some(error) = rating.get("error") {
        return format!(
            r#" <span class="unavailable">{}</span>"#,
            escape(&plain(error))
        );
    }
    let stars = rating
        .get("stars")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let stars = usize::try_from(stars).unwrap_or(MAX_STARS).min(MAX_STARS);
    let colour = escape(&rating.get("color").map(plain).unwrap_or_default());
    format!(
        " <span class=\"stars\" style=\"color: {colour}\" title=\"{stars} of {MAX_STARS} stars\" \
         role=\"img\" aria-label=\"{stars} {colour} stars\">{}<span class=\"empty\">{}</span></span>",
        "★".repeat(stars),
        "★".repeat(MAX_STARS - stars),
    )
}

fn error_panel(title: &str, sorry: &str) -> String {
    format!(
        "<h2 class=\"error\">{title}!</h2>\n<p class=\"unavailable\">{}</p>",
        escape(sorry)
    )
}

/// A JSON value as people read it.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

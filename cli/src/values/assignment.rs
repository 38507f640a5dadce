//! `--set PATH=VALUE`, written as for Helm and `istioctl`: `a.b=1`, `a.list[0]=x`, `a={x,y}`,
//! `a.key\.with\.dots=x`, `a=null` to take a default away, several separated by commas.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// An index that makes no sense in a list of settings, and would only fill memory.
const LAST_INDEX: usize = 1_000;

/// One `PATH=VALUE`.
#[derive(Debug, PartialEq)]
pub(super) struct Assignment {
    path: Vec<Step>,
    value: Value,
}

/// One part of a path.
#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Assignment {
    /// All assignments of one argument of `--set`.
    ///
    /// # Errors
    /// Says which assignment has no path, no `=`, or a bracket that is wrong.
    pub(super) fn parse_all(argument: &str) -> Result<Vec<Self>> {
        split(argument)
            .into_iter()
            .map(|text| Self::parse(text).with_context(|| format!("cannot read --set {text:?}")))
            .collect()
    }

    fn parse(text: &str) -> Result<Self> {
        let (path, value) = text
            .split_once('=')
            .context("expected PATH=VALUE, such as meshConfig.accessLogFile=/dev/stdout")?;
        Ok(Self {
            path: parse_path(path)?,
            value: parse_value(value),
        })
    }

    /// Puts the value into a tree, making the maps and lists on its path.
    ///
    /// # Errors
    /// Says so if the path needs a map or list where the tree has something else.
    pub(super) fn apply(self, tree: &mut Map<String, Value>) -> Result<()> {
        let mut steps = self.path.into_iter();
        let Some(Step::Key(first)) = steps.next() else {
            bail!("a path begins with a name")
        };
        let mut place = tree.entry(first).or_insert(Value::Null);
        for step in steps {
            place = enter(place, step)?;
        }
        *place = self.value;
        Ok(())
    }
}

/// The place that a step leads to, made if absent.
fn enter(place: &mut Value, step: Step) -> Result<&mut Value> {
    match step {
        Step::Key(key) => {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            let map = place
                .as_object_mut()
                .with_context(|| format!("{key:?} is inside of what is no map"))?;
            Ok(map.entry(key).or_insert(Value::Null))
        }
        Step::Index(index) => {
            if place.is_null() {
                *place = Value::Array(Vec::new());
            }
            let list = place
                .as_array_mut()
                .with_context(|| format!("[{index}] follows what is no list"))?;
            if list.len() <= index {
                list.resize(index + 1, Value::Null);
            }
            list.get_mut(index).context("an index is within the list")
        }
    }
}

/// Splits at commas that separate assignments. A comma whose right side is no assignment belongs
/// to the value, so that `global.proxy.includeIPRanges=10.0.0.0/8,172.16.0.0/12` needs no escapes.
fn split(argument: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped, mut depth) = (0, false, 0_usize);
    for (position, letter) in argument.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let (before, after) = argument.split_at(position);
                if let Some(rest) = after.get(1..).filter(|rest| is_assignment(rest)) {
                    parts.push(before.get(start..).unwrap_or_default());
                    start = argument.len() - rest.len();
                }
            }
            _ => {}
        }
    }
    parts.push(argument.get(start..).unwrap_or_default());
    parts
}

fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(path, _)| {
        path.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && path
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "._-/[]\\".contains(letter))
    })
}

fn parse_path(text: &str) -> Result<Vec<Step>> {
    let mut path = Vec::new();
    let mut key = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => key.extend(letters.next()),
            '.' => end_key(&mut key, &mut path)?,
            '[' => {
                end_key(&mut key, &mut path)?;
                let index: String = letters
                    .by_ref()
                    .take_while(|letter| *letter != ']')
                    .collect();
                let index = index
                    .parse()
                    .with_context(|| format!("[{index}] is no list index"))?;
                ensure!(
                    index <= LAST_INDEX,
                    "index {index} is larger than {LAST_INDEX}"
                );
                path.push(Step::Index(index));
            }
            other => key.push(other),
        }
    }
    end_key(&mut key, &mut path)?;
    ensure!(
        matches!(path.first(), Some(Step::Key(_))),
        "the path is empty"
    );
    Ok(path)
}

/// Ends the key read so far. Only after an index may it be empty.
fn end_key(key: &mut String, path: &mut Vec<Step>) -> Result<()> {
    if key.is_empty() {
        ensure!(
            matches!(path.last(), Some(Step::Index(_))),
            "a name in the path is empty"
        );
    } else {
        path.push(Step::Key(std::mem::take(key)));
    }
    Ok(())
}

fn parse_value(text: &str) -> Value {
    match text
        .strip_prefix('{')
        .and_then(|inner| inner.strip_suffix('}'))
    {
        Some("") => Value::Array(Vec::new()),
        Some(items) => items
            .split(',')
            .map(|item| parse_scalar(item.trim()))
            .collect(),
        None => parse_scalar(text),
    }
}

/// Booleans, null and integers are typed, all else is text; so are numbers with leading zeros.
fn parse_scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        "0" => Value::from(0),
        _ if text.starts_with('0') => Value::from(text),
        _ => text
            .parse::<i64>()
            .map_or_else(|_| Value::from(unescape(text)), Value::from),
    }
}

fn unescape(text: &str) -> String {
    let mut letters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.extend(letters.next()),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree(argument: &str) -> Value {
        let mut tree = Map::new();
        for assignment in Assignment::parse_all(argument).unwrap() {
            assignment.apply(&mut tree).unwrap();
        }
        Value::Object(tree)
    }

    #[test]
    fn values_have_helms_types() {
        assert_eq!(
            tree("a=1,b=true,c=null,d=1.20,e=,f=007,g=-3,h=x y,i=0"),
            json!({"a": 1, "b": true, "c": null, "d": "1.20", "e": "", "f": "007", "g": -3, "h": "x y", "i": 0})
        );
    }

    #[test]
    fn paths_make_maps_and_lists() {
        assert_eq!(
            tree(r"a.b.c=1,a.list[1].x=2,a.k\.with/dots=3,m={x,2},n={},a.list[0]=first"),
            json!({
                "a": {"b": {"c": 1}, "list": ["first", {"x": 2}], "k.with/dots": 3},
                "m": ["x", 2],
                "n": []
            })
        );
    }

    #[test]
    fn commas_that_separate_nothing_belong_to_the_value() {
        assert_eq!(
            tree(r"global.proxy.includeIPRanges=10.0.0.0/8,172.16.0.0/12,hub=h,x=a\,b=c"),
            json!({
                "global": {"proxy": {"includeIPRanges": "10.0.0.0/8,172.16.0.0/12"}},
                "hub": "h",
                "x": "a,b=c"
            })
        );
    }

    #[test]
    fn values_keep_equal_signs() {
        assert_eq!(tree("a=b=c"), json!({"a": "b=c"}));
    }

    #[test]
    fn nonsense_is_refused_with_the_text() {
        for nonsense in [
            "",
            "=1",
            "a",
            ".a=1",
            "a..b=1",
            "a[x]=1",
            "[0]=1",
            "a[99999]=1",
            "a.=1",
        ] {
            let error = Assignment::parse_all(nonsense).unwrap_err();
            assert!(format!("{error:#}").contains(nonsense), "{error:#}");
        }
    }

    #[test]
    fn a_path_through_a_scalar_is_refused() {
        let mut tree = Map::new();
        for assignment in Assignment::parse_all("a=1").unwrap() {
            assignment.apply(&mut tree).unwrap();
        }
        for through in ["a.b=1", "a[0]=1"] {
            let assignment = Assignment::parse_all(through).unwrap().remove(0);
            assert!(assignment.apply(&mut tree).is_err());
        }
    }
}

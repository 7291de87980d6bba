//! Changes values in an agent's configuration file and leaves the rest as it is; and shows the file with every value masked that is not ours.

use super::splice;
use serde_json::Value;
use std::ops::Range;
use toml_edit::{Array, Document, DocumentMut, InlineTable, Item, Table, TableLike};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON, in which comments are kept.
    Json,
    Toml,
    /// Lines of `NAME=value`.
    Env,
}

/// A value and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) path: Vec<String>,
    pub(crate) value: Value,
}

impl Set {
    pub(crate) fn new(path: &[&str], value: impl Into<Value>) -> Self {
        Self { path: path.iter().map(|key| (*key).to_owned()).collect(), value: value.into() }
    }

    fn keys(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

/// The file is not of its form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Form {
    /// The text with these values in their places.
    pub(crate) fn set(self, text: &str, sets: &[Set]) -> Result<String, Unreadable> {
        match self {
            Self::Json => sets.iter().try_fold(text.to_owned(), |text, set| {
                splice::set(&text, &set.keys(), &set.value).map_err(|_| Unreadable)
            }),
            Self::Toml => set_toml(text, sets),
            Self::Env => Ok(sets.iter().fold(text.to_owned(), |text, set| set_line(&text, set))),
        }
    }

    /// Both texts with every value masked, but for those of the new one that stand at these places.
    pub(crate) fn masked(self, old: &str, new: &str, sets: &[Set]) -> Result<(String, String), Unreadable> {
        let (old_leaves, new_leaves) = (self.leaves(old)?, self.leaves(new)?);
        let is_ours = |path: &[String]| sets.iter().any(|set| path.starts_with(&set.path));
        // What was there already and stays is ours in both.
        let stays = |leaf: &Leaf| {
            let same = |other: &&Leaf| other.0 == leaf.0 && new.get(other.1.clone()) == old.get(leaf.1.clone());
            is_ours(&leaf.0) && new_leaves.iter().find(same).is_some()
        };
        Ok((self.mask(old, &old_leaves, stays), self.mask(new, &new_leaves, |leaf| is_ours(&leaf.0))))
    }

    fn leaves(self, text: &str) -> Result<Vec<Leaf>, Unreadable> {
        let mut leaves = match self {
            Self::Json => splice::leaves(text).map_err(|_| Unreadable)?,
            Self::Toml => {
                let document = Document::parse(text).map_err(|_| Unreadable)?;
                let mut found = Vec::new();
                gather(document.as_table(), &mut Vec::new(), &mut found);
                found
            }
            Self::Env => lines(text).filter_map(|(name, value)| Some((vec![name?.to_owned()], value))).collect(),
        };
        leaves.sort_by_key(|leaf| leaf.1.start);
        Ok(leaves)
    }

    fn mask(self, text: &str, leaves: &[Leaf], is_shown: impl Fn(&Leaf) -> bool) -> String {
        let (mut masked, mut at) = (String::new(), 0);
        for leaf in leaves {
            masked.push_str(&self.without_comments(text.get(at..leaf.1.start).unwrap_or_default()));
            masked.push_str(if is_shown(leaf) { text.get(leaf.1.clone()).unwrap_or_default() } else { MASK });
            at = leaf.1.end;
        }
        masked.push_str(&self.without_comments(text.get(at..).unwrap_or_default()));
        masked
    }

    /// What stands between values. Values that were commented out are values.
    fn without_comments(self, between: &str) -> String {
        let marks: &[&str] = match self {
            Self::Json => &["//", "/*"],
            Self::Toml | Self::Env => &["#"],
        };
        let mut rest = between;
        let mut shown = String::new();
        while let Some((at, mark)) = marks.iter().filter_map(|mark| Some((rest.find(mark)?, *mark))).min() {
            let (before, comment) = rest.split_at(at);
            let end = if mark == "/*" { comment.find("*/") } else { comment.find(['\r', '\n']) };
            shown.push_str(before);
            shown.push_str(mark);
            shown.push_str(MASK);
            rest = comment.get(end.unwrap_or(comment.len())..).unwrap_or_default();
        }
        shown + rest
    }
}

type Leaf = splice::Leaf;

fn set_toml(text: &str, sets: &[Set]) -> Result<String, Unreadable> {
    let mut document: DocumentMut = text.parse().map_err(|_| Unreadable)?;
    for set in sets {
        let (last, before) = set.path.split_last().ok_or(Unreadable)?;
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for key in before {
            let mut new = Table::new();
            new.set_implicit(true);
            table = table.entry(key).or_insert(Item::Table(new)).as_table_like_mut().ok_or(Unreadable)?;
        }
        let mut new = item(&set.value).ok_or(Unreadable)?;
        // A comment behind the old value stays.
        if let (Some(old), Item::Value(new)) = (table.get(last).and_then(Item::as_value), &mut new) {
            *new.decor_mut() = old.decor().clone();
        }
        table.insert(last, new);
    }
    let new = document.to_string();
    Ok(if text.contains("\r\n") { new.replace("\r\n", "\n").replace('\n', "\r\n") } else { new })
}

fn item(value: &Value) -> Option<Item> {
    let Value::Object(members) = value else { return plain(value).map(Item::Value) };
    let mut table = Table::new();
    for (key, value) in members {
        table.insert(key, item(value)?);
    }
    Some(Item::Table(table))
}

fn plain(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::String(text) => text.as_str().into(),
        Value::Bool(yes) => (*yes).into(),
        Value::Number(number) => number.as_i64()?.into(),
        Value::Array(values) => values.iter().map(plain).collect::<Option<Array>>()?.into(),
        Value::Null | Value::Object(_) => return None,
    })
}

fn gather(table: &dyn TableLike, path: &mut Vec<String>, found: &mut Vec<Leaf>) {
    for (key, item) in table.iter() {
        path.push(key.to_owned());
        match item {
            Item::Table(table) => gather(table, path, found),
            Item::ArrayOfTables(tables) => tables.iter().for_each(|table| gather(table, path, found)),
            Item::Value(value) => gather_value(value, path, found),
            Item::None => {}
        }
        path.pop();
    }
}

fn gather_value(value: &toml_edit::Value, path: &mut Vec<String>, found: &mut Vec<Leaf>) {
    match value {
        toml_edit::Value::Array(values) => values.iter().for_each(|value| gather_value(value, path, found)),
        toml_edit::Value::InlineTable(table) => gather(table as &InlineTable, path, found),
        value => found.extend(value.span().map(|span| (path.clone(), span))),
    }
}

/// Each line's name, if it has one, and where its value stands.
fn lines(text: &str) -> impl Iterator<Item = (Option<&str>, Range<usize>)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        let content = line.trim_end();
        let statement = content.trim_start();
        let Some((name, value)) = statement.split_once('=').filter(|_| !statement.starts_with('#')) else {
            return (None, start..start);
        };
        let end = start + content.len();
        (Some(name.trim().trim_start_matches("export ").trim()), end - value.len()..end)
    })
}

fn set_line(text: &str, set: &Set) -> String {
    let name = set.path.first().map(String::as_str).unwrap_or_default();
    let value = set.value.as_str().unwrap_or_default();
    if let Some((_, at)) = lines(text).filter(|(found, _)| *found == Some(name)).last() {
        let (before, after) = (text.get(..at.start).unwrap_or_default(), text.get(at.end..).unwrap_or_default());
        return format!("{before}{value}{after}");
    }
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let between = if text.is_empty() || text.ends_with('\n') { "" } else { end };
    format!("{text}{between}{name}={value}{end}")
}

/// What is shown in the place of a value.
const MASK: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn toml_keeps_comments_and_order() {
        let text = "# top\nmodel = \"m\" # mine\nmodel_provider = \"other\" # old\n\n[z]\na = 1\n\n[model_providers.b]\nk = 'v'\n";
        let sets = [
            Set::new(&["model_provider"], "unexpired"),
            Set::new(
                &["model_providers", "unexpired"],
                json!({ "base_url": "u", "auth": { "args": ["a"], "command": "c" } }),
            ),
        ];
        let new = Form::Toml.set(text, &sets).unwrap();
        let expected = "# top\nmodel = \"m\" # mine\nmodel_provider = \"unexpired\" # old\n\n[z]\na = 1\n\n[model_providers.b]\nk = 'v'\n\n\
            [model_providers.unexpired]\nbase_url = \"u\"\n\n[model_providers.unexpired.auth]\nargs = [\"a\"]\ncommand = \"c\"\n";
        assert_eq!(new, expected);
        assert_eq!(Form::Toml.set(&new, &sets).unwrap(), new, "once more changes nothing");
        assert_eq!(Form::Toml.set(&text.replace('\n', "\r\n"), &sets).unwrap(), expected.replace('\n', "\r\n"));
        assert_eq!(Form::Toml.set("model_provider = ", &sets), Err(Unreadable));
        assert_eq!(Form::Toml.set("model_providers = 1\n", &sets), Err(Unreadable));
        assert!(Form::Toml.set("", &sets).unwrap().starts_with("model_provider = \"unexpired\"\n"));
    }

    #[test]
    fn variables_are_replaced_where_they_stand() {
        let sets = [Set::new(&["A"], "new")];
        for (text, expected) in [
            ("", "A=new\n"),
            ("B=1", "B=1\nA=new\n"),
            ("export A=old\nB=1\n", "export A=new\nB=1\n"),
            ("# A=old\r\nA = x\r\n", "# A=old\r\nA =new\r\n"),
        ] {
            assert_eq!(Form::Env.set(text, &sets).unwrap(), expected);
        }
    }

    #[test]
    fn every_value_is_masked_that_is_not_ours() {
        let ours = [Set::new(&["a", "ours"], json!({ "k": "shown" }))];
        for (form, old) in [
            (
                Form::Json,
                "{\n  // SECRET\n  \"b\": \"SECRET\", /* SECRET\n SECRET */\n  \"a\": { \"x\": [\"SECRET\", 5318008, {\"y\": true}] }\n}\n",
            ),
            (
                Form::Toml,
                "# SECRET\nb = \"SE#CRET\" # SECRET\nc = \"\"\"\nSECRET\nx = SECRET\n\"\"\"\nd = [\"SECRET\", { e = 'SECRET' }]\n[a]\nx = 5318008\n\
                 [[t]]\nu.v = \"SECRET\"\n",
            ),
        ] {
            let new = form.set(old, &ours).unwrap();
            assert!(new.contains("SECRET") && new.contains("5318008"), "{new}");
            let (old, new) = form.masked(old, &new, &ours).unwrap();
            for text in [&old, &new] {
                assert!(!text.contains("SECRET") && !text.contains("CRET") && !text.contains("5318008"), "{text}");
            }
            assert!(new.contains("\"shown\"") && !old.contains("shown"));
        }
        let (old, new) =
            Form::Env.masked("# SECRET\nX=SECRET\n", "X=SECRET\nA=shown\n", &[Set::new(&["A"], "shown")]).unwrap();
        assert_eq!((old.as_str(), new.as_str()), ("#***\nX=***\n", "X=***\nA=shown\n"));
    }
}

//! What differs between two texts, as `diff -u` shows it.

use std::fmt::Write as _;

/// The differences; empty if there are none.
pub(crate) fn unified(name: &str, old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = compare(&old, &new);
    let mut text = String::new();
    let mut at = 0;
    while let Some(first) = lines.iter().skip(at).position(|line| line.0 != Kind::Same).map(|first| first + at) {
        let start = first.saturating_sub(CONTEXT).max(at);
        let mut end = first;
        // Changes that are close to each other are shown together.
        while let Some(next) = lines.iter().skip(end).take(2 * CONTEXT + 1).rposition(|line| line.0 != Kind::Same) {
            end += next + 1;
        }
        let end = (end + CONTEXT).min(lines.len());
        let count = |range: std::ops::Range<usize>, without: Kind| {
            lines.get(range).unwrap_or_default().iter().filter(|line| line.0 != without).count()
        };
        let place = |without: Kind| {
            let (before, inside) = (count(0..start, without), count(start..end, without));
            format!("{},{inside}", if inside == 0 { before } else { before + 1 })
        };
        if text.is_empty() {
            let _ = writeln!(text, "--- {name}\n+++ {name}");
        }
        let _ = writeln!(text, "@@ -{} +{} @@", place(Kind::Added), place(Kind::Removed));
        for (kind, line) in lines.get(start..end).unwrap_or_default() {
            let mark = match kind {
                Kind::Same => ' ',
                Kind::Removed => '-',
                Kind::Added => '+',
            };
            let _ = writeln!(text, "{}", format!("{mark}{line}").trim_end());
        }
        at = end;
    }
    text
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Same,
    Removed,
    Added,
}

/// All lines in order, by the longest sequence that both have. What is alike at both ends is not compared: changes are few and near.
fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Kind, &'t str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = |old: &[&str], new: &[&str]| old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let tail = tail(old.get(head..).unwrap_or_default(), new.get(head..).unwrap_or_default());
    let middle = |all: &[&'t str]| all.get(head..all.len() - tail).unwrap_or_default().to_vec();
    let (a, b) = (middle(old), middle(new));
    let same = |lines: &[&'t str]| lines.iter().map(|line| (Kind::Same, *line)).collect::<Vec<_>>();
    let mut lines = same(old.get(..head).unwrap_or_default());
    if a.len().saturating_mul(b.len()) > MOST_COMPARED {
        lines.extend(a.iter().map(|line| (Kind::Removed, *line)));
        lines.extend(b.iter().map(|line| (Kind::Added, *line)));
    } else {
        // longest[i][j]: how many lines a[i..] and b[j..] have in common.
        let mut longest = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
        let at = |longest: &Vec<Vec<u32>>, i: usize, j: usize| {
            longest.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0)
        };
        for (i, left) in a.iter().enumerate().rev() {
            for (j, right) in b.iter().enumerate().rev() {
                let best = if left == right {
                    at(&longest, i + 1, j + 1) + 1
                } else {
                    at(&longest, i + 1, j).max(at(&longest, i, j + 1))
                };
                if let Some(cell) = longest.get_mut(i).and_then(|row| row.get_mut(j)) {
                    *cell = best;
                }
            }
        }
        let (mut i, mut j) = (0, 0);
        loop {
            match (a.get(i), b.get(j)) {
                (Some(left), Some(right)) if left == right => {
                    lines.push((Kind::Same, left));
                    (i, j) = (i + 1, j + 1);
                }
                (Some(left), right) if right.is_none() || at(&longest, i + 1, j) >= at(&longest, i, j + 1) => {
                    lines.push((Kind::Removed, left));
                    i += 1;
                }
                (_, Some(right)) => {
                    lines.push((Kind::Added, right));
                    j += 1;
                }
                _ => break,
            }
        }
    }
    lines.extend(same(old.get(old.len() - tail..).unwrap_or_default()));
    lines
}

/// Lines around a change.
const CONTEXT: usize = 3;
/// Pairs of lines; more are shown as wholly replaced.
const MOST_COMPARED: usize = 4_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_as_diff_shows_them() {
        for (old, new, expected) in [
            ("a\n", "a\n", ""),
            ("", "a\nb\n", "--- f\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n"),
            ("a\n", "", "--- f\n+++ f\n@@ -1,1 +0,0 @@\n-a\n"),
            (
                "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n",
                "1\n2\nx\n4\n5\n6\n7\n8\n9\n10\n11\ny\n12\n",
                "--- f\n+++ f\n@@ -1,6 +1,6 @@\n 1\n 2\n-3\n+x\n 4\n 5\n 6\n@@ -9,4 +9,5 @@\n 9\n 10\n 11\n+y\n 12\n",
            ),
            ("a\nb\nc\nd\n", "b\nx\nd\n", "--- f\n+++ f\n@@ -1,4 +1,3 @@\n-a\n b\n-c\n+x\n d\n"),
        ] {
            assert_eq!(unified("f", old, new), expected);
        }
    }
}

//! How large functions and files are.

use serde::Serialize;

use crate::workspace::Workspace;

/// The sizes of all functions or files, tests left out.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Sizes {
    pub count: usize,
    pub p50: usize,
    pub p95: usize,
    pub p99: usize,
    pub max: usize,
    /// The largest, with their place.
    pub largest: Vec<Sized>,
}

/// One function or file and its lines.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Sized {
    pub lines: usize,
    pub place: String,
}

impl Sizes {
    /// The sizes of these.
    pub fn of(mut all: Vec<Sized>) -> Self {
        const LARGEST: usize = 5;
        all.sort_by(|left, right| right.lines.cmp(&left.lines).then_with(|| left.place.cmp(&right.place)));
        let at = |percent: usize| {
            let rank = (all.len() * percent).div_ceil(100).clamp(1, all.len().max(1));
            all.get(all.len() - rank.min(all.len())).map_or(0, |sized| sized.lines)
        };
        let (p50, p95, p99, max) = (at(50), at(95), at(99), at(100));
        let count = all.len();
        all.truncate(LARGEST);
        Self { count, p50, p95, p99, max, largest: all }
    }
}

/// The sizes of all functions outside of tests.
pub fn functions(workspace: &Workspace) -> Sizes {
    let sources = workspace.crates.iter().flat_map(|member| &member.sources);
    let functions = sources.flat_map(|source| {
        source.functions.iter().map(|function| Sized {
            lines: function.lines,
            place: format!("{}:{} {}", source.path, function.line, function.name),
        })
    });
    Sizes::of(functions.collect())
}

/// The sizes of all files, without their tests.
pub fn files(workspace: &Workspace) -> Sizes {
    let sources = workspace.crates.iter().flat_map(|member| &member.sources).filter(|source| !source.is_test);
    Sizes::of(
        sources.map(|source| Sized { lines: source.body_lines(), place: source.path.clone() }).collect(),
    )
}

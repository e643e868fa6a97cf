//! Checks of keys, without reading the whole table again: how often each key occurs is kept beside the table, and
//! moved on by the rows that came and went since.
//!
//! Owns: which rows fail by the counts of their keys, what has changed since the last audit, when everything is counted
//! anew. Does not own: what is said of it (`flowline-quality`), the full query that is asked where nothing can be kept
//! (`queries`).

mod columns;
mod counts;
mod kept;
mod moved;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use flowline_lake::{ReadAt, Table, TableId, TableRead};
use flowline_model::{Check, CheckRule, Dataset};
use futures::TryStreamExt;

use self::columns::{KeyColumns, KeyHash, hashes, read_counts};
use self::counts::{Layer, Store};
pub(super) use self::kept::folder_of;
use self::kept::{Example, Folder, Kept, KeptTable, engine};
use super::Subject;
use super::queries::EXAMPLES;
use crate::engine::{Pins, Resolver};
use crate::{ProcessError, QueryEngine};

/// What the counts of keys say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FailingKeys {
    /// Rows that fail.
    pub failed: u64,
    /// Some of their keys; may be none where rows were removed.
    pub examples: Vec<String>,
}

/// Which rows fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    /// All that share their key with others.
    Shared,
    /// All but one of those.
    Repeated,
    /// All whose key the other table does not have.
    Missing,
}

impl Fails {
    /// Of the rows with a key, those that fail, from how often it is in this table and in the other one.
    fn rows(self, own: i64, other: i64) -> i64 {
        match self {
            Self::Shared if own > 1 => own,
            Self::Repeated if own > 1 => own - 1,
            Self::Missing if other <= 0 => own.max(0),
            _ => 0,
        }
    }
}

/// A table at the version that is audited.
struct Audited {
    table: Table,
    version: i64,
    log_id: String,
    provider: Arc<dyn TableProvider>,
    key: KeyColumns,
}

/// A check of keys that can be kept up.
struct KeyAudit<'a> {
    dataset: &'a Dataset,
    fails: Fails,
    state: SessionState,
    /// The table that is audited, and the one that it refers to.
    tables: Vec<Audited>,
    names: &'a [String],
}

/// What the counts of keys say of a check; none where it must be asked of the whole table: of views, of tables that are
/// written anew, of keys with floating point numbers, and where counts of a newer version are kept already.
pub(super) async fn failing(
    engine: &QueryEngine,
    dataset: &Dataset,
    check: &Check,
    names: &[String],
    subject: &Subject,
) -> Result<Option<FailingKeys>, ProcessError> {
    let Some(audit) = KeyAudit::of(engine, dataset, check, names, subject).await? else { return Ok(None) };
    let folder = Folder::open(&audit.tables[0].table, &check.rule).await;
    let Some(kept) = audit.of_versions(&folder, check).await? else { return Ok(None) };
    let Some(change) = &subject.change else { return Ok(Some(kept.told())) };
    let prefix = folder.uncommitted(kept.number + 1);
    let number = kept.number + 1;
    let counted = Kept { number, ..audit.changed(&prefix, kept, change).await? };
    if let Some(note) = folder.note(&counted, dataset) {
        change.note(note.with_parts(&folder.path, &prefix));
    }
    Ok(Some(counted.told()))
}

impl Kept {
    fn told(&self) -> FailingKeys {
        let examples = self.examples.iter().map(|example| example.text.clone()).collect();
        FailingKeys { failed: u64::try_from(self.failed).unwrap_or(0), examples }
    }
}

impl<'a> KeyAudit<'a> {
    async fn of(
        engine: &QueryEngine,
        dataset: &'a Dataset,
        check: &Check,
        names: &'a [String],
        subject: &Subject,
    ) -> Result<Option<Self>, ProcessError> {
        let (version, provider) = match (&subject.change, subject.version) {
            (Some(change), _) => (change.version, &change.there),
            (None, Some(version)) => (version, &subject.provider),
            (None, None) => return Ok(None),
        };
        let schema = provider.schema();
        let (fails, keys, other) = match &check.rule {
            CheckRule::Unique { .. } => (Fails::Shared, KeyColumns::of(&schema, names, false), None),
            CheckRule::Duplicates { .. } => (Fails::Repeated, KeyColumns::of(&schema, names, true), None),
            CheckRule::Referential { to, to_columns, .. } => {
                let Some(to) = engine.project().dataset(to).filter(|to| to.materialized()) else {
                    return Ok(None);
                };
                let table = engine.lake().table(TableId::of(to));
                let (version, other) = match to.name == dataset.name {
                    true => (version, Arc::clone(provider)),
                    false => match newest(&table).await? {
                        Some(read) => (read.version, read.provider),
                        None => return Ok(None),
                    },
                };
                match KeyColumns::pair((&schema, names), (&other.schema(), to_columns)) {
                    Some((own, key)) => (Fails::Missing, Some(own), Some((table, version, other, key))),
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let Some(key) = keys else { return Ok(None) };
        let table = engine.lake().table(TableId::of(dataset));
        let log_id = table.log_id().unwrap_or_default();
        let provider = Arc::clone(provider);
        let mut tables = vec![Audited { table, version, log_id, provider, key }];
        if let Some((table, version, provider, key)) = other {
            let log_id = table.log_id().unwrap_or_default();
            tables.push(Audited { table, version, log_id, provider, key });
        }
        let state = engine.state_with(&Resolver::new(engine.clone(), Pins::Latest));
        Ok(Some(Self { dataset, fails, state, tables, names }))
    }

    /// What is counted of the versions that are audited; none where counts of a newer one are kept already.
    async fn of_versions(&self, folder: &Folder<'_>, check: &Check) -> Result<Option<Kept>, ProcessError> {
        let (number, kept) = folder.newest().await;
        let kept = kept.filter(|kept| self.fits(kept));
        if let Some(kept) = &kept {
            let versions = || self.tables.iter().zip(&kept.tables);
            if versions().any(|(table, kept)| table.version < kept.version) {
                return Ok(None);
            }
            if versions().all(|(table, kept)| table.version == kept.version) {
                return Ok(Some(Kept { number, ..kept.clone() }));
            }
        }
        let prefix = folder.prefix(number + 1);
        let moved = match kept {
            Some(kept) => self.moved(&prefix, kept).await,
            None => Ok(None),
        };
        let moved = moved.unwrap_or_else(|error| {
            // A file that is gone, or rows that no longer fit: what was kept is of no use.
            tracing::debug!(dataset = %self.dataset.name, check = check.name, error = flowline_base::chain(&error), "keys are counted again");
            None
        });
        let counted = match moved {
            Some(moved) => moved,
            None => self.all(&prefix).await?,
        };
        let counted = Kept { number: number + 1, ..counted };
        if let Some(note) = folder.note(&counted, self.dataset) {
            note.keep(&self.tables[0].table).await;
        }
        Ok(Some(counted))
    }

    /// Whether what is kept was counted of the same tables and columns.
    fn fits(&self, kept: &Kept) -> bool {
        let same = |(table, kept): (&Audited, &KeptTable)| {
            table.log_id == kept.log_id && table.key.fingerprint() == kept.key
        };
        kept.engine == engine()
            && kept.tables.len() == self.tables.len()
            && self.tables.iter().zip(&kept.tables).all(same)
    }

    fn store<'s>(&'s self, prefix: &'s str) -> Store<'s> {
        Store { table: &self.tables[0].table, prefix }
    }

    fn kept(&self, layers: Vec<Vec<Layer>>, failed: i64, examples: Vec<Example>) -> Kept {
        let table = |(table, layers): (&Audited, Vec<Layer>)| KeptTable {
            log_id: table.log_id.clone(),
            version: table.version,
            key: table.key.fingerprint(),
            layers,
        };
        let tables = self.tables.iter().zip(layers).map(table).collect();
        Kept { engine: engine(), number: 0, tables, failed, examples }
    }

    /// Counts all rows.
    async fn all(&self, prefix: &str) -> Result<Kept, ProcessError> {
        let store = self.store(prefix);
        let mut layers = Vec::new();
        for table in &self.tables {
            let mut counted = table.key.counted(&self.state, Arc::clone(&table.provider)).await?;
            let mut writer = store.writer();
            while let Some(batch) = counted.try_next().await? {
                for record in read_counts(&batch)? {
                    writer.push(record).await?;
                }
            }
            layers.push(vec![writer.finish().await?]);
        }
        let (mut failed, mut most) = (0i64, MostOften::default());
        let all: Vec<&[Layer]> = layers.iter().map(Vec::as_slice).collect();
        let mut sweep = store.sweep(&all).await?;
        while let Some((hash, counts)) = sweep.next().await? {
            let rows = self.fails.rows(counts[0], counts.get(1).copied().unwrap_or(0));
            failed += rows;
            if rows > 0 {
                most.add(hash, counts[0]);
            }
        }
        let examples = self.shown(&most, Arc::clone(&self.tables[0].provider)).await?;
        Ok(self.kept(layers, failed, examples))
    }

    /// Keys that fail with their values, which stand in these rows; those that do not are left out.
    async fn shown(
        &self,
        failing: &MostOften,
        rows: Arc<dyn TableProvider>,
    ) -> Result<Vec<Example>, ProcessError> {
        let wanted: Vec<KeyHash> = failing.0.iter().map(|(hash, _)| *hash).collect();
        let mut texts = BTreeMap::<KeyHash, String>::new();
        if !wanted.is_empty() {
            let mut values = self.tables[0].key.values(&self.state, rows, &wanted).await?;
            while texts.len() < wanted.len()
                && let Some(batch) = values.try_next().await?
            {
                for (row, hash) in hashes(&batch)?.enumerate() {
                    let text = || super::queries::shown(self.dataset, self.names, &batch.columns()[1..], row);
                    texts.entry(hash).or_insert_with(text);
                }
            }
        }
        let example = |(hash, rows): &(KeyHash, i64)| {
            Some(Example { hash: *hash, rows: *rows, text: texts.get(hash)?.clone() })
        };
        Ok(failing.0.iter().filter_map(example).collect())
    }
}

/// A table as it is now; none when there is none.
async fn newest(table: &Table) -> Result<Option<TableRead>, ProcessError> {
    let failed = || format!("reading `{}`", table.id().dataset);
    if table.refresh().await.map_err(ProcessError::lake(failed()))?.is_none() {
        return Ok(None);
    }
    table.read(ReadAt::Latest).await.map(Some).map_err(ProcessError::lake(failed()))
}

/// The keys that occur most often, and among equals those of the least hash.
#[derive(Debug, Clone, Default)]
struct MostOften(Vec<(KeyHash, i64)>);

impl MostOften {
    fn add(&mut self, hash: KeyHash, rows: i64) {
        let before = |(other, others): &(KeyHash, i64)| (*others, hash) > (rows, *other);
        let place = self.0.partition_point(before);
        if place < EXAMPLES as usize && !self.0.iter().any(|(known, _)| *known == hash) {
            self.0.insert(place, (hash, rows));
            self.0.truncate(EXAMPLES as usize);
        }
    }
}

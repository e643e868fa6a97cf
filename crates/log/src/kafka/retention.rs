//! Deleting what is landed and too old or too much. Kafka itself deletes nothing of these topics.

use flowline_kafka::OffsetAt;

use super::partition::Partition;
use crate::{Bounds, LogError};

impl Partition {
    /// Deletes what the settings allow and is released; returns about how many bytes that were.
    pub(crate) async fn enforce_retention(&self) -> Result<u64, LogError> {
        if !self.shared.exists(&self.id).await? {
            return Ok(0);
        }
        let Bounds { start, end } = self.refresh().await?;
        let released = self.state.lock().released.min(end);
        if released <= start {
            return Ok(0);
        }
        let settings = &self.shared.settings;
        let retain_ms = i64::try_from(settings.retain_for.as_millis()).unwrap_or(i64::MAX);
        let oldest = (self.shared.clock.now_micros() / 1_000).saturating_sub(retain_ms);
        let too_old = self.offset(OffsetAt::Time(oldest)).await?.unwrap_or(end);
        let too_much = end.saturating_sub(self.records_in(settings.retain_bytes, end - start));
        let before = too_old.max(too_much).min(released);
        if before <= start {
            return Ok(0);
        }
        let deleted = self.shared.cluster.delete_records(&self.topic, self.number(), before).await;
        deleted.map_err(|error| self.failed(error))?;
        tracing::debug!(partition = %self.id, from = start, before, "landed records were deleted");
        let bytes = self.bytes_of(before - start);
        self.refresh().await?;
        Ok(bytes)
    }

    /// About how many of so many records fit in these bytes.
    fn records_in(&self, bytes: u64, records: u64) -> u64 {
        let all = self.bytes_of(records);
        if all <= bytes {
            return records;
        }
        let fit = u128::from(records) * u128::from(bytes) / u128::from(all);
        u64::try_from(fit).unwrap_or(records)
    }
}

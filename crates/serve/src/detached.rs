//! Rows that are made beside the connection that sends them.

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use futures::StreamExt;

/// Batches that are made ahead of the one that is being sent.
const BATCHES_AHEAD: usize = 2;

/// The same rows, made by a task of their own that ends when the stream is dropped.
///
/// A plan may compute for seconds between two batches without giving way. Whoever waits for it in the same task is
/// deaf meanwhile: a cancel, a deadline, a client that has gone would all wait with it.
pub(crate) fn detached(mut rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStreamBuilder::new(rows.schema(), BATCHES_AHEAD);
    let sender = builder.tx();
    builder.spawn(async move {
        while let Some(batch) = rows.next().await {
            if sender.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    builder.build()
}

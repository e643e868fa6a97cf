//! The recorded events: the same files for every engine, made once from a fixed seed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, SecondsFormat};
use flowline_testkit::nexmark::{Event, Nexmark};

use super::queries::Stream;

/// What every recorded event is drawn from.
pub const SEED: u64 = 20_261_120;
/// Events between two changes of the part that is written, of all kinds.
const PART_EVENTS: u64 = 250_000;
/// Events that go to one half before the other gets some: what two readers read side by side stays close in time.
const TURN_EVENTS: u64 = 5_000;
/// A day later: what comes then closes every window of the events.
const DAY_US: i64 = 86_400_000_000;

/// A folder of recorded events:
/// `<stream>/parts/part-00000.ndjson` in the order of time, `<stream>/closing.ndjson` a day later, `<stream>/halves/`
/// with the same records as two files that are to be read side by side, `<stream>/warm/` with the first part of each.
#[derive(Debug, Clone)]
pub struct Recorded {
    folder: PathBuf,
    /// Records of each stream, without those that close.
    counts: [u64; 3],
}

impl Recorded {
    /// Records so many events below `folder`, unless they are there.
    pub fn open(folder: &Path, events: u64) -> anyhow::Result<Self> {
        let folder = folder.join(format!("nexmark-{SEED}-{events}"));
        let done = folder.join("counts");
        if !done.is_file() {
            let _ = std::fs::remove_dir_all(&folder);
            let written = Recorder::create(&folder)?.record(events)?;
            let text: Vec<String> = written.iter().map(ToString::to_string).collect();
            std::fs::write(&done, text.join(" "))?;
        }
        let text = std::fs::read_to_string(&done)?;
        let numbers: Vec<u64> = text.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let counts = numbers.get(..3).context("a count for each stream")?.try_into()?;
        Ok(Self { counts, folder })
    }

    /// Records of a stream.
    pub fn count(&self, stream: Stream) -> u64 {
        self.counts[stream as usize]
    }

    /// The parts of a stream in the order of time.
    pub fn parts(&self, stream: Stream) -> anyhow::Result<Vec<PathBuf>> {
        let files = std::fs::read_dir(self.folder_of(stream, "parts"))?;
        let mut paths = files.map(|file| Ok(file?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    /// The record that closes the windows of a stream.
    pub fn closing(&self, stream: Stream) -> PathBuf {
        self.folder.join(stream.name()).join("closing.ndjson")
    }

    /// `parts`, `halves` or `warm`.
    pub fn folder_of(&self, stream: Stream, which: &str) -> PathBuf {
        self.folder.join(stream.name()).join(which)
    }
}

/// The files of one stream while they are written.
struct Files {
    folder: PathBuf,
    part: BufWriter<File>,
    warm: Option<BufWriter<File>>,
    halves: [BufWriter<File>; 2],
    count: u64,
    bytes: u64,
}

impl Files {
    fn create(folder: PathBuf) -> anyhow::Result<Self> {
        for which in ["parts", "halves", "warm"] {
            std::fs::create_dir_all(folder.join(which))?;
        }
        let create =
            |name: &str| anyhow::Ok(BufWriter::with_capacity(1 << 20, File::create(folder.join(name))?));
        let (first, second) = (create("halves/half-0.ndjson")?, create("halves/half-1.ndjson")?);
        let (part, warm) = (create("parts/part-00000.ndjson")?, Some(create("warm/part.ndjson")?));
        Ok(Self { part, warm, halves: [first, second], count: 0, bytes: 0, folder })
    }

    fn turn(&mut self, part: u64) -> anyhow::Result<()> {
        self.part.flush()?;
        self.warm = None;
        let path = self.folder.join(format!("parts/part-{part:05}.ndjson"));
        self.part = BufWriter::with_capacity(1 << 20, File::create(path)?);
        Ok(())
    }

    fn write(&mut self, line: &str, half: usize) -> anyhow::Result<()> {
        self.part.write_all(line.as_bytes())?;
        self.halves[half].write_all(line.as_bytes())?;
        if let Some(warm) = &mut self.warm {
            warm.write_all(line.as_bytes())?;
        }
        self.count += 1;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

struct Recorder {
    files: Vec<Files>,
}

impl Recorder {
    fn create(folder: &Path) -> anyhow::Result<Self> {
        let files = Stream::ALL.iter().map(|stream| Files::create(folder.join(stream.name())));
        Ok(Self { files: files.collect::<anyhow::Result<_>>()? })
    }

    fn record(mut self, events: u64) -> anyhow::Result<Vec<u64>> {
        let site = Nexmark::seeded(SEED);
        let mut line = String::new();
        for number in 0..events {
            if number > 0 && number % PART_EVENTS == 0 {
                for files in &mut self.files {
                    files.turn(number / PART_EVENTS)?;
                }
            }
            let half = (number / TURN_EVENTS % 2) as usize;
            line.clear();
            let stream = json(&site.event(number), &mut line);
            self.files[stream as usize].write(&line, half)?;
        }
        self.close(site)?;
        for files in &mut self.files {
            files.part.flush()?;
            for half in &mut files.halves {
                half.flush()?;
            }
        }
        let counts = self.files.iter().map(|files| files.count);
        Ok(counts.chain(self.files.iter().map(|files| files.bytes)).collect())
    }

    /// One event of each kind, a day after the first.
    fn close(&self, site: Nexmark) -> anyhow::Result<()> {
        let later = Nexmark { base_time_us: site.base_time_us + DAY_US, ..site };
        for event in [later.event(0), later.event(1), later.event(4)] {
            let mut line = String::new();
            let stream = json(&event, &mut line);
            std::fs::write(self.files[stream as usize].folder.join("closing.ndjson"), line)?;
        }
        Ok(())
    }
}

/// Appends an event as a line of JSON; says of which stream it is. No text of an event needs an escape.
pub fn json(event: &Event, line: &mut String) -> Stream {
    // Writing into memory cannot fail.
    let (stream, _) = match event {
        Event::Person(one) => (
            Stream::Person,
            writeln!(
                line,
                r#"{{"id":{},"name":"{}","email_address":"{}","credit_card":"{}","city":"{}","state":"{}","ts":"{}","extra":"{}"}}"#,
                one.id,
                one.name,
                one.email_address,
                one.credit_card,
                one.city,
                one.state,
                Time(one.date_time),
                one.extra
            ),
        ),
        Event::Auction(one) => (
            Stream::Auction,
            writeln!(
                line,
                r#"{{"id":{},"item_name":"{}","description":"{}","initial_bid":{},"reserve":{},"ts":"{}","expires":"{}","seller":{},"category":{},"extra":"{}"}}"#,
                one.id,
                one.item_name,
                one.description,
                one.initial_bid,
                one.reserve,
                Time(one.date_time),
                Time(one.expires),
                one.seller,
                one.category,
                one.extra
            ),
        ),
        Event::Bid(one) => (
            Stream::Bid,
            writeln!(
                line,
                r#"{{"auction":{},"bidder":{},"price":{},"channel":"{}","url":"{}","ts":"{}","extra":"{}"}}"#,
                one.auction,
                one.bidder,
                one.price,
                one.channel,
                one.url,
                Time(one.date_time),
                one.extra
            ),
        ),
    };
    stream
}

/// Microseconds since the epoch as `2025-01-01T00:00:00.000Z`.
struct Time(i64);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = DateTime::from_timestamp_micros(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

-- The facts. SQL that SQLite and PostgreSQL both understand: times are microseconds since the epoch (UTC), identifiers
-- 32 hexadecimal digits, truth is 0 or 1, documents are JSON text. On PostgreSQL every TEXT gets the collation "C".

CREATE TABLE deployments (
    deployed_at BIGINT NOT NULL,
    environment TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (deployed_at, environment, version)
);

CREATE TABLE datasets (
    name TEXT NOT NULL PRIMARY KEY,
    declaration TEXT NOT NULL,
    deployed_at BIGINT NOT NULL,
    retired_at BIGINT
);

CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    hop TEXT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    inputs TEXT NOT NULL,
    read BIGINT NOT NULL,
    written BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    duplicate BIGINT NOT NULL,
    late BIGINT NOT NULL,
    filtered BIGINT NOT NULL,
    reshaped BIGINT NOT NULL,
    bytes_read BIGINT NOT NULL,
    bytes_written BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    attempts BIGINT NOT NULL,
    commit_dataset TEXT,
    commit_version BIGINT,
    committed_at BIGINT,
    commit_latency_us BIGINT,
    event_time_max BIGINT,
    received_at_min BIGINT,
    error_kind TEXT,
    error_message TEXT,
    trace_id TEXT
);
CREATE INDEX runs_newest ON runs (started_at, id);
CREATE INDEX runs_of_hop ON runs (hop, started_at, id);
CREATE UNIQUE INDEX runs_commit ON runs (commit_dataset, commit_version);
-- Few rows, so that what failed or still runs is found without reading what went well.
CREATE INDEX runs_not_succeeded ON runs (outcome, started_at, id) WHERE outcome <> 'succeeded';

CREATE TABLE attempts (
    run_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    error_kind TEXT,
    error_message TEXT,
    PRIMARY KEY (run_id, number)
);
CREATE INDEX attempts_running ON attempts (run_id) WHERE outcome = 'running';

CREATE TABLE positions (
    hop TEXT NOT NULL,
    input TEXT NOT NULL,
    first_position BIGINT NOT NULL,
    next_position BIGINT NOT NULL,
    covered BIGINT NOT NULL,
    moved_at BIGINT NOT NULL,
    PRIMARY KEY (hop, input)
);

CREATE TABLE totals (
    hop TEXT NOT NULL PRIMARY KEY,
    runs BIGINT NOT NULL,
    read BIGINT NOT NULL,
    written BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    duplicate BIGINT NOT NULL,
    late BIGINT NOT NULL,
    filtered BIGINT NOT NULL,
    reshaped BIGINT NOT NULL,
    bytes_read BIGINT NOT NULL,
    bytes_written BIGINT NOT NULL,
    read_from_log BIGINT NOT NULL,
    replayed BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE findings (
    dataset TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity TEXT NOT NULL,
    message TEXT NOT NULL,
    records BIGINT NOT NULL,
    first_position TEXT,
    last_position TEXT,
    run_id TEXT,
    first_found_at BIGINT NOT NULL,
    found_at BIGINT NOT NULL,
    PRIMARY KEY (dataset, kind, subject)
);
CREATE INDEX findings_newest ON findings (found_at);

CREATE TABLE landed_files (
    dataset TEXT NOT NULL,
    path TEXT NOT NULL,
    etag TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    records BIGINT NOT NULL,
    run_id TEXT NOT NULL,
    landed_at BIGINT NOT NULL,
    PRIMARY KEY (dataset, path, etag)
);

-- What checks said, and what the rows of commits look like. A finding can be closed: what it was about holds again.

CREATE TABLE check_results (
    dataset TEXT NOT NULL,
    check_name TEXT NOT NULL,
    dimension TEXT NOT NULL,
    evaluated_at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    verdict TEXT NOT NULL,
    message TEXT NOT NULL,
    severity TEXT NOT NULL,
    owner TEXT NOT NULL,
    metric DOUBLE PRECISION,
    lower_bound DOUBLE PRECISION,
    upper_bound DOUBLE PRECISION,
    rows_checked BIGINT NOT NULL,
    rows_failed BIGINT NOT NULL,
    examples TEXT NOT NULL,
    version BIGINT,
    run_id TEXT,
    duration_us BIGINT NOT NULL,
    PRIMARY KEY (dataset, check_name, dimension, evaluated_at)
);
CREATE INDEX check_results_newest ON check_results (evaluated_at);

CREATE TABLE profiles (
    dataset TEXT NOT NULL,
    version BIGINT NOT NULL,
    partition_values TEXT NOT NULL,
    profiled_at BIGINT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (dataset, version, partition_values)
);
CREATE INDEX profiles_newest ON profiles (profiled_at);

ALTER TABLE findings ADD COLUMN closed_at BIGINT;

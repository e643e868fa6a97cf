-- The versions of contracts, one for each deployment that changed one; and what a finding of drift says beyond its
-- sentence, as JSON.

CREATE TABLE contracts (
    dataset TEXT NOT NULL,
    version BIGINT NOT NULL,
    contract TEXT NOT NULL,
    deployment TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (dataset, version)
);

ALTER TABLE findings ADD COLUMN drift TEXT;

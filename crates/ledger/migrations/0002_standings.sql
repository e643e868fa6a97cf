-- How each hop stands with each kind of run: pointers into runs, so that status never reads history.

CREATE TABLE standings (
    hop TEXT NOT NULL,
    kind TEXT NOT NULL,
    newest_run TEXT NOT NULL,
    ended_run TEXT,
    succeeded_run TEXT,
    committed_run TEXT,
    committed_version BIGINT,
    failures BIGINT NOT NULL,
    failing_since BIGINT,
    PRIMARY KEY (hop, kind)
);

INSERT INTO standings (hop, kind, newest_run, ended_run, succeeded_run, committed_run, committed_version, failures)
SELECT
    hop,
    kind,
    MAX(id),
    MAX(CASE WHEN outcome <> 'running' THEN id END),
    MAX(CASE WHEN outcome = 'succeeded' THEN id END),
    NULL,
    MAX(commit_version),
    0
FROM runs
GROUP BY hop, kind;

UPDATE standings SET
    committed_run = (
        SELECT id FROM runs
        WHERE runs.hop = standings.hop AND runs.kind = standings.kind
            AND runs.commit_version = standings.committed_version
    ),
    failures = (
        SELECT COUNT(*) FROM runs
        WHERE runs.hop = standings.hop AND runs.kind = standings.kind AND runs.outcome = 'failed'
            AND (standings.succeeded_run IS NULL OR runs.id > standings.succeeded_run)
    ),
    failing_since = (
        SELECT MIN(finished_at) FROM runs
        WHERE runs.hop = standings.hop AND runs.kind = standings.kind AND runs.outcome = 'failed'
            AND (standings.succeeded_run IS NULL OR runs.id > standings.succeeded_run)
    );

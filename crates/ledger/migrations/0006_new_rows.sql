-- Whether a check looked at rows that had just come, and not at all there are.

ALTER TABLE check_results ADD COLUMN new_rows BIGINT NOT NULL DEFAULT 0;

-- When a segment was last changed.

ALTER TABLE segment ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;
UPDATE segment SET changed_at = created_at;

-- On which pages a click or a page view counts: a list of matches as JSON text, and what has to be clicked.
ALTER TABLE metric ADD COLUMN selector TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE metric ADD COLUMN urls TEXT COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE metric ADD COLUMN tags TEXT COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE metric ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

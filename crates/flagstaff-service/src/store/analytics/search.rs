//! Contexts by what they are found by: ranges of the term index, never a scan.

use std::collections::HashSet;

use futures_util::TryStreamExt as _;

use super::StoreError;
use super::context::{COLUMNS, ContextRow};
use super::rows::Statement;
use crate::analytics::terms::{TermQuery, end_of_range};
use crate::store::connection::{Connection, composed_sql};

/// The most rows that are read at once.
const LARGEST_PIECE: usize = 1024;

/// Which of the found, or of all, are returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many are passed over.
    pub offset: usize,
    /// How many are returned, at most.
    pub limit: usize,
}

/// How a list of contexts is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By key.
    Key,
    /// By key, backwards.
    KeyDescending,
    /// Those longest not seen first.
    LastSeen,
    /// Those last seen first.
    #[default]
    LastSeenDescending,
}

impl Sort {
    /// The order, and what makes it complete.
    fn order(self) -> &'static str {
        match self {
            Sort::Key => "context.key",
            Sort::KeyDescending => "context.key DESC",
            Sort::LastSeen => "context.last_seen, context.key",
            Sort::LastSeenDescending => "context.last_seen DESC, context.key DESC",
        }
    }
}

/// Contexts of a kind, and whether there are more behind the page.
pub async fn all(
    connection: &mut Connection,
    (environment_id, kind): (i64, &str),
    sort: Sort,
    page: Page,
) -> Result<(Vec<ContextRow>, bool), StoreError> {
    let text = format!(
        "SELECT {COLUMNS} FROM context WHERE environment_id = $1 AND kind = $2 ORDER BY {} LIMIT $3 OFFSET $4",
        sort.order()
    );
    let query = composed_sql(text).bind(environment_id).bind(kind);
    up_to_limit(connection, query, page).await
}

/// Contexts of a kind whose key comes after `after`, in the order of keys, and whether there are more.
pub async fn after_key(
    connection: &mut Connection,
    (environment_id, kind): (i64, &str),
    after: &str,
    limit: usize,
) -> Result<(Vec<ContextRow>, bool), StoreError> {
    let query = composed_sql(format!(
        "SELECT {COLUMNS} FROM context WHERE environment_id = $1 AND kind = $2 AND key > $3
         ORDER BY context.key LIMIT $4 OFFSET $5"
    ))
    .bind(environment_id)
    .bind(kind)
    .bind(after);
    up_to_limit(connection, query, Page { offset: 0, limit }).await
}

/// Contexts of a kind found by `query`, and whether there are more behind the page.
///
/// Without `sort`, those of which every word is a whole term come first, then the others in the order of
/// the terms they were found by.
pub async fn found(
    connection: &mut Connection,
    (environment_id, kind): (i64, &str),
    query: &TermQuery,
    sort: Option<Sort>,
    page: Page,
) -> Result<(Vec<ContextRow>, bool), StoreError> {
    if let Some(sort) = sort {
        let text = format!(
            "SELECT {COLUMNS} FROM context WHERE id IN ({}) ORDER BY {} LIMIT $1 OFFSET $2",
            ids(query, 4),
            sort.order()
        );
        let limit = i64::try_from(page.limit.saturating_add(1)).unwrap_or(i64::MAX);
        let statement = composed_sql(text).bind(limit).bind(offset(page)).bind(environment_id).bind(kind);
        let rows = bind_ids(statement, query).fetch_all(connection).await?;
        let rows = rows.iter().map(ContextRow::read).collect::<Result<Vec<_>, _>>()?;
        return Ok(cut(rows, page.limit));
    }
    let mut pages = Pages { page, seen: HashSet::new(), rows: Vec::new() };
    let wholes = query.whole.as_slice();
    pages.take(connection, (environment_id, kind), wholes, Match::Whole).await?;
    pages.take(connection, (environment_id, kind), &query.words, Match::Whole).await?;
    pages.take(connection, (environment_id, kind), wholes, Match::Beginning).await?;
    pages.take(connection, (environment_id, kind), &query.words, Match::Beginning).await?;
    Ok(cut(pages.rows, page.limit))
}

/// How a word of a query has to meet a term.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Whole,
    Beginning,
}

/// Collects a page from several lists, each context once. One more than asked for is taken, to know
/// whether there are more.
struct Pages {
    page: Page,
    seen: HashSet<i64>,
    rows: Vec<ContextRow>,
}

impl Pages {
    /// Reads along the terms that begin with the first word, as far as the page needs it: a piece at a time,
    /// because PostgreSQL does not stop before the end of what it was asked for.
    async fn take(
        &mut self,
        connection: &mut Connection,
        (environment_id, kind): (i64, &str),
        words: &[String],
        how: Match,
    ) -> Result<(), StoreError> {
        let Some(first) = words.first() else { return Ok(()) };
        let (mut term, mut id) = (first.clone(), i64::MIN);
        while !self.is_full() {
            let piece = self.piece();
            let mut query = composed_sql(along_terms(words.len(), how, piece))
                .bind(environment_id)
                .bind(kind)
                .bind(std::mem::take(&mut term))
                .bind(id)
                .bind(how.end(first));
            for word in &words[1..] {
                query = query.bind(word.clone()).bind(how.end(word));
            }
            let mut rows = query.fetch(connection);
            let mut count = 0;
            while let Some(row) = rows.try_next().await? {
                count += 1;
                let found = ContextRow::read(&row)?;
                (term, id) = (row.try_get("term")?, found.id);
                if self.seen.insert(id) && self.seen.len() > self.page.offset {
                    self.rows.push(found);
                }
                if self.is_full() {
                    return Ok(());
                }
            }
            if count < piece {
                return Ok(());
            }
        }
        Ok(())
    }

    /// How many rows are read at once: twice what is missing, as a context may be found by several terms.
    /// It stands in the text of the statement, so that PostgreSQL plans for it; powers of two keep the texts few.
    fn piece(&self) -> usize {
        let wanted = self.page.offset.saturating_add(self.page.limit).saturating_add(1);
        let missing = wanted.saturating_sub(self.seen.len()).clamp(1, LARGEST_PIECE / 2);
        (2 * missing).next_power_of_two()
    }

    fn is_full(&self) -> bool {
        self.rows.len() > self.page.limit
    }
}

/// Contexts in the order of the terms that the first of so many words meets, behind a term and an id; every
/// other word must meet some term of the context, too. After environment and kind come that term, that id
/// and the end of the terms, then two values for each other word.
fn along_terms(words: usize, how: Match, limit: usize) -> String {
    let until = how.until();
    let mut text = format!(
        "SELECT {COLUMNS}, context_term.term AS term FROM context_term CROSS JOIN context
         WHERE context_term.environment_id = $1 AND context_term.kind = $2
           AND (context_term.term, context_term.context_id) > ($3, $4) AND context_term.term {until} $5
           AND context.id = context_term.context_id"
    );
    for word in 1..words {
        let (from, to) = (2 * word + 4, 2 * word + 5);
        text.push_str(&format!(
            " AND EXISTS (SELECT 1 FROM context_term AS other WHERE other.context_id = context_term.context_id
                 AND other.term >= ${from} AND other.term {until} ${to})"
        ));
    }
    text.push_str(&format!(" ORDER BY context_term.term, context_term.context_id LIMIT {limit}"));
    text
}

impl Match {
    fn until(self) -> &'static str {
        match self {
            Match::Whole => "<=",
            Match::Beginning => "<",
        }
    }

    fn end(self, word: &str) -> String {
        match self {
            Match::Whole => word.to_owned(),
            Match::Beginning => end_of_range(word),
        }
    }
}

/// The ids found by a query, as a statement; environment and kind are the values before `next` - 1.
fn ids(query: &TermQuery, mut next: usize) -> String {
    let (environment, kind) = (next - 1, next);
    let mut range = || {
        next += 2;
        format!(
            "SELECT context_id FROM context_term WHERE environment_id = ${environment} AND kind = ${kind}
             AND term >= ${} AND term < ${}",
            next - 1,
            next
        )
    };
    let words: Vec<String> = query.words.iter().map(|_| range()).collect();
    let mut text = words.join(" INTERSECT ");
    if query.whole.is_some() {
        text = format!("SELECT context_id FROM ({text}) AS words UNION {}", range());
    }
    text
}

fn bind_ids<'q>(mut statement: Statement<'q>, query: &TermQuery) -> Statement<'q> {
    for word in query.words.iter().chain(&query.whole) {
        statement = statement.bind(word.clone()).bind(end_of_range(word));
    }
    statement
}

async fn up_to_limit(
    connection: &mut Connection,
    query: Statement<'_>,
    page: Page,
) -> Result<(Vec<ContextRow>, bool), StoreError> {
    let limit = i64::try_from(page.limit.saturating_add(1)).unwrap_or(i64::MAX);
    let rows = query.bind(limit).bind(offset(page)).fetch_all(connection).await?;
    let rows = rows.iter().map(ContextRow::read).collect::<Result<Vec<_>, _>>()?;
    Ok(cut(rows, page.limit))
}

fn offset(page: Page) -> i64 {
    i64::try_from(page.offset).unwrap_or(i64::MAX)
}

/// The page, and whether there was more than that.
fn cut(mut rows: Vec<ContextRow>, limit: usize) -> (Vec<ContextRow>, bool) {
    let more = rows.len() > limit;
    rows.truncate(limit);
    (rows, more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::analytics::EventStore;

    /// However many users there are, a search reads the ones it shows and nothing has to be sorted.
    #[tokio::test]
    async fn search_walks_along_ranges_of_indexes() {
        let folder = std::env::temp_dir().join(format!("flagstaff-plan-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = EventStore::open(&folder).await.unwrap();
        for (words, how) in [(1, Match::Beginning), (1, Match::Whole), (3, Match::Beginning)] {
            let text = format!("EXPLAIN QUERY PLAN {}", along_terms(words, how, 64));
            let rows = composed_sql(text).fetch_all(&mut store.read().await.unwrap()).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert!(plan[0].contains("SEARCH context_term USING PRIMARY KEY"), "{plan:#?}");
            assert!(plan[0].contains("(term,context_id)>(?,?)") && plan[0].contains("term<?"), "{plan:#?}");
            assert!(
                plan.iter().all(|step| !step.contains("SCAN") && !step.contains("TEMP B-TREE")),
                "{plan:#?}"
            );
        }
        store.close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }
}

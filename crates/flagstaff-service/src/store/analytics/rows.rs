//! Statements that carry many rows.

use std::fmt::Write as _;

pub(super) use crate::store::connection::Statement;
use crate::store::connection::{Connection, composed_sql};

/// Rows per statement, from the most to the least. Each length is a statement text of its own, which is
/// prepared once, so there are few of them.
const LENGTHS: [usize; 4] = [128, 32, 8, 1];

/// Cuts `rows` into pieces of the lengths that statements come in.
pub(super) fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let length = LENGTHS.into_iter().find(|length| *length <= rest.len())?;
        let (piece, left) = rest.split_at(length);
        rest = left;
        Some(piece)
    })
}

/// `($1,$2),($3,$4)`: placeholders for `rows` rows of `columns` values.
pub(super) fn placeholders(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 1..=columns {
            let comma = if column == 1 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}${}", row * columns + column);
        }
        text.push(')');
    }
    text
}

/// Runs `before (…),(…) after` for all `rows`, a few at a time, and says how many rows were touched.
pub(super) async fn run<T>(
    connection: &mut Connection,
    rows: &[T],
    (before, columns, after): (&str, usize, &str),
    bind: impl for<'q> Fn(Statement<'q>, &'q T) -> Statement<'q>,
) -> Result<u64, sqlx::Error> {
    let mut touched = 0;
    for piece in pieces(rows) {
        let mut query = composed_sql(format!("{before} {} {after}", placeholders(piece.len(), columns)));
        for row in piece {
            query = bind(query, row);
        }
        touched += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(touched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_few_lengths_and_leave_nothing_out() {
        for count in [0, 1, 7, 8, 127, 128, 129, 1000] {
            let rows: Vec<usize> = (0..count).collect();
            assert!(pieces(&rows).all(|piece| LENGTHS.contains(&piece.len())));
            assert_eq!(pieces(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(placeholders(2, 3), "($1,$2,$3),($4,$5,$6)");
        assert_eq!(placeholders(1, 1), "($1)");
    }
}

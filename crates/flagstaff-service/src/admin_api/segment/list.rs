//! The list of an environment's segments: filtered, sorted, a page at a time.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::represent::segment as represent;
use crate::SharedApp;
use crate::admin_api::params::Params;
use crate::auth::{Action, Caller};
use crate::error::ApiError;
use crate::extract::Keys;
use crate::management::segment as rules;
use crate::store::segment::SegmentRow;

/// `GET /api/v2/segments/{project}/{environment}`.
pub(super) async fn list(
    State(app): State<SharedApp>,
    caller: Caller,
    Keys((project, environment)): Keys<(String, String)>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    caller.actor.may(Action::Read)?;
    let page = params.page(20)?;
    let mut filters = Vec::new();
    for text in params.all("filter").flat_map(split_filters) {
        filters.push(Filter::parse(&text)?);
    }
    let orders = params.all("sort").flat_map(|text| text.split(',')).filter(|text| !text.is_empty());
    let orders = orders.map(order).collect::<Result<Vec<_>, _>>()?;
    let (project, environment, mut rows) = rules::list(&app, &project, &environment).await?;
    rows.retain(|(row, _)| filters.iter().all(|filter| filter.takes(row)));
    rows.sort_by(|(one, _), (other, _)| {
        orders.iter().map(|order| order(one, other)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    Ok(Json(
        params.paged(page, &rows, |(row, filling)| represent(&project, &environment, row, filling.as_ref())),
    ))
}

/// One condition on segments: `tags anyOf ["a", "b"]`.
enum Filter {
    Query(Vec<String>),
    Tags(Vec<String>),
    Keys { listed: Vec<String>, wanted: bool },
    Unbounded(bool),
}

impl Filter {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let wrong = |problem: String| ApiError::bad_request(format!("filter: {problem}"));
        let mut words = text.trim().splitn(3, ' ');
        let [field, operator, value] = [(); 3].map(|()| words.next().unwrap_or_default());
        let value: Value = serde_json::from_str(value).map_err(|_| {
            let shown = text.escape_debug();
            wrong(format!("`{shown}` is not a condition, like `tags anyOf [\"beta\"]`"))
        })?;
        let texts = || match &value {
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Array(list) if list.iter().all(Value::is_string) => {
                Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            other => Err(wrong(format!("`{field}` takes a text or a list of texts, not {other}"))),
        };
        match (field, operator) {
            ("query", "equals") => {
                Ok(Filter::Query(texts()?.into_iter().map(|text| text.to_lowercase()).collect()))
            }
            ("tags", "anyOf") => Ok(Filter::Tags(texts()?)),
            ("includedKeys", "anyOf") => Ok(Filter::Keys { listed: texts()?, wanted: true }),
            ("excludedKeys", "anyOf") => Ok(Filter::Keys { listed: texts()?, wanted: false }),
            ("unbounded", "equals") => match value.as_bool() {
                Some(unbounded) => Ok(Filter::Unbounded(unbounded)),
                None => Err(wrong(format!("`unbounded` is true or false, not {value}"))),
            },
            _ => {
                let (field, operator) = (field.escape_debug(), operator.escape_debug());
                Err(wrong(format!(
                    "there is no condition `{field} {operator}`; there are query equals, tags anyOf, includedKeys \
                     anyOf, excludedKeys anyOf and unbounded equals"
                )))
            }
        }
    }

    fn takes(&self, row: &SegmentRow) -> bool {
        match self {
            Filter::Query(texts) => texts.iter().any(|text| {
                [&row.key, &row.name, &row.description].iter().any(|own| own.to_lowercase().contains(text))
            }),
            Filter::Tags(tags) => tags.iter().any(|tag| row.tags.contains(tag)),
            Filter::Keys { listed, wanted } => listed.contains(&row.key) == *wanted,
            Filter::Unbounded(unbounded) => row.membership.unbounded == *unbounded,
        }
    }
}

/// At the commas, but not those inside brackets or quotes.
fn split_filters(text: &str) -> Vec<String> {
    let mut filters = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for letter in text.chars() {
        match letter {
            '"' if !escaped => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
        match filters.last_mut() {
            Some(last) if letter != ',' || depth > 0 || quoted => last.push(letter),
            _ => filters.push(String::new()),
        }
    }
    filters.retain(|filter| !filter.trim().is_empty());
    filters
}

type Compare = Box<dyn Fn(&SegmentRow, &SegmentRow) -> Ordering + Send>;

fn order(text: &str) -> Result<Compare, ApiError> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let compare: fn(&SegmentRow, &SegmentRow) -> Ordering = match name {
        "creationDate" => |one, other| one.created_at.cmp(&other.created_at),
        "lastModifiedDate" => |one, other| one.changed_at.cmp(&other.changed_at),
        "key" => |one, other| one.key.cmp(&other.key),
        "name" => |one, other| one.name.to_lowercase().cmp(&other.name.to_lowercase()),
        other => {
            let shown = other.escape_debug();
            return Err(ApiError::bad_request(format!(
                "sort: there is no field `{shown}` to sort by; there are creationDate, lastModifiedDate, key and name"
            )));
        }
    };
    Ok(Box::new(move |one, other| {
        let order = compare(one, other);
        if descending { order.reverse() } else { order }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_parted_at_commas_outside_of_lists_and_texts() {
        let parts = split_filters(r#"tags anyOf ["a,b", "c"],query equals "x, \" y",unbounded equals true"#);
        assert_eq!(
            parts,
            [r#"tags anyOf ["a,b", "c"]"#, r#"query equals "x, \" y""#, "unbounded equals true"]
        );
    }
}

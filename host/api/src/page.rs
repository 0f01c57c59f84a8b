//! Which page of a list is asked for.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::error::ApiError;
use crate::remote::Input;

/// Which page of a list a caller asks for: how many at most, and after which.
///
/// `USUAL` is how many a page holds when nobody says, and `MOST` how many it may hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<C, const USUAL: u32 = 100, const MOST: u32 = 1_000> {
    /// How many, from 1 to `MOST`; `USUAL` if not said.
    pub limit: Option<u32>,
    /// The `cursor` of the page before. None for the first page.
    pub cursor: Option<C>,
}

impl<C, const USUAL: u32, const MOST: u32> Default for Page<C, USUAL, MOST> {
    fn default() -> Self {
        Self { limit: None, cursor: None }
    }
}

impl<C, const USUAL: u32, const MOST: u32> Page<C, USUAL, MOST> {
    /// How many it holds at most.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] when the caller asks for none, or for more than `MOST`.
    pub fn limit(&self) -> Result<u32, ApiError> {
        limit(self.limit, USUAL, MOST)
    }
}

impl<const USUAL: u32, const MOST: u32> Page<String, USUAL, MOST> {
    /// Cuts the page out of all there are, by their names. Answers the cursor of the next as well, if
    /// there is one.
    ///
    /// # Errors
    ///
    /// As [`limit`](Self::limit).
    pub(crate) fn cut<T>(
        &self,
        mut all: Vec<T>,
        name: impl Fn(&T) -> String,
    ) -> Result<(Vec<T>, Option<String>), ApiError> {
        let limit = usize::try_from(self.limit()?).unwrap_or(usize::MAX);
        all.retain(|one| self.cursor.as_ref().is_none_or(|cursor| name(one) > *cursor));
        all.sort_by_cached_key(&name);
        let has_more = all.len() > limit;
        all.truncate(limit);
        let cursor = all.last().filter(|_| has_more).map(name);
        Ok((all, cursor))
    }
}

/// How many a page holds when the caller asks for so many.
pub(crate) fn limit(asked: Option<u32>, usual: u32, most: u32) -> Result<u32, ApiError> {
    let limit = asked.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::InvalidRequest(format!("`limit` is {limit}: expected 1 to {most}")))
}

impl<C: FromStr<Err: Display>, const USUAL: u32, const MOST: u32> Page<C, USUAL, MOST> {
    /// Takes `limit` and `cursor` out.
    ///
    /// # Errors
    ///
    /// [`ApiError::InvalidRequest`] for what cannot be read.
    pub(crate) fn read(input: &mut Input) -> Result<Self, ApiError> {
        Ok(Self { limit: input.take("limit")?, cursor: input.take("cursor")? })
    }
}

impl<C: JsonSchema, const USUAL: u32, const MOST: u32> JsonSchema for Page<C, USUAL, MOST> {
    fn schema_name() -> Cow<'static, str> {
        "Page".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut cursor = C::json_schema(generator);
        cursor.insert("description".to_owned(), "The `cursor` of the page before.".into());
        json_schema!({
            "type": "object",
            "properties": {
                "limit": {
                    "type": "integer", "format": "uint32", "minimum": 1, "maximum": MOST,
                    "default": USUAL, "description": "How many at most.",
                },
                "cursor": cursor,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_what_was_asked_for_or_as_many_as_usual() {
        let limit = |limit| Page::<u64, 20, 100> { limit, cursor: None }.limit().ok();
        assert_eq!(limit(None), Some(20));
        assert_eq!(limit(Some(100)), Some(100));
        assert_eq!((limit(Some(0)), limit(Some(101))), (None, None));
    }

    #[test]
    fn pages_that_are_cut_out_hold_each_once() {
        let all = || ["d", "a", "c", "b", "e"].map(str::to_owned).to_vec();
        let mut page = Page::<String> { limit: Some(2), cursor: None };
        let mut seen = Vec::new();
        for left in [3, 1, 0] {
            let (cut, cursor) = page.cut(all(), String::clone).unwrap();
            seen.extend(cut);
            assert_eq!((5 - seen.len(), cursor.is_some()), (left, left > 0));
            page.cursor = cursor;
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    }
}

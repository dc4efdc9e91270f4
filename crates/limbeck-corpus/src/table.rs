//! Tables: text of rows and columns, which is no text of documents.

/// Rows that are compared.
const ROWS: usize = 64;
/// Without a name that says so, fewer rows prove nothing.
const LEAST: usize = 4;
/// What a column of a table of texts is called.
const COLUMNS: [&str; 26] = [
    "text",
    "text1",
    "text2",
    "sentence",
    "sentence1",
    "sentence2",
    "content",
    "body",
    "document",
    "abstract",
    "title",
    "label",
    "id",
    "review",
    "comment",
    "question",
    "question1",
    "question2",
    "answer",
    "url",
    "premise",
    "hypothesis",
    "query",
    "passage",
    "anchor",
    "positive",
];

/// The first row, if the text is a table: it has two fields or more, no row has fewer, and the file's name, a column's or quoted
/// fields say that this is no accident. A row may have more where its quotes are wrong.
pub(crate) fn columns(head: &str, is_whole: bool, name: &str) -> Option<Vec<String>> {
    let is_named = is_named(name);
    [',', '\t', ';'].into_iter().find_map(|delimiter| {
        let rows = rows(head, is_whole, delimiter);
        let first = rows.first().filter(|row| row.fields.len() >= 2)?;
        let columns = first.fields.len();
        let is_wide = rows.iter().all(|row| row.fields.len() >= columns);
        let is_even = rows.iter().all(|row| row.fields.len() == columns);
        let says = first.fields.iter().any(|field| is_known(field))
            || is_even && rows.iter().any(|row| row.needs_quotes);
        let is_table = is_wide && (is_named || rows.len() >= LEAST && says);
        is_table.then(|| first.fields.clone())
    })
}

/// The first row, if the text is no text of pairs: it has the names of columns, or all rows have the same tabs, two or more. Here a quote
/// is a character like any other, and the second text of a pair may have tabs.
pub(crate) fn columns_of_pairs(head: &str, is_whole: bool, name: &str) -> Option<Vec<String>> {
    let end = if head.contains('\n') { '\n' } else { '\r' };
    let whole = match is_whole {
        true => head,
        false => head.rsplit_once(end).map_or("", |(whole, _)| whole),
    };
    let rows = whole.split(end).filter(|row| !row.trim().is_empty());
    let rows: Vec<&str> = rows.take(ROWS).collect();
    let field = |field: &str| field.trim().trim_matches('"').to_owned();
    let first: Vec<String> = rows.first()?.split('\t').map(field).collect();
    let is_even = rows
        .iter()
        .all(|row| row.split('\t').count() == first.len());
    let is_wide = first.len() > 2 && is_even && (is_named(name) || rows.len() >= LEAST);
    let has_names = first.len() >= 2 && first.iter().any(|field| is_known(field));
    (has_names || is_wide).then_some(first)
}

/// Whether a file has a table's ending, also before that of what it is packed with.
fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut ends = name.rsplit('.').take(2);
    ends.any(|end| end == "csv" || end == "tsv")
}

/// Whether a table's column has such a name.
fn is_known(field: &str) -> bool {
    let name = field.trim().trim_matches('"').to_lowercase();
    COLUMNS.contains(&name.as_str())
}

#[derive(Default)]
struct Row {
    fields: Vec<String>,
    /// Whether a field holds what would end it, in quotes.
    needs_quotes: bool,
}

/// The first rows, without one that the end of `head` cuts.
fn rows(head: &str, is_whole: bool, delimiter: char) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = Row::default();
    let mut field = String::new();
    let mut is_quoted = false;
    let mut letters = head.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            '\n' if !is_quoted => {
                row.fields
                    .push(std::mem::take(&mut field).trim_end_matches('\r').to_owned());
                rows.push(std::mem::take(&mut row));
                if rows.len() == ROWS {
                    return rows;
                }
            }
            _ if letter == delimiter && !is_quoted => row.fields.push(std::mem::take(&mut field)),
            _ => {
                row.needs_quotes |= is_quoted && (letter == delimiter || letter == '\n');
                field.push(letter);
            }
        }
    }
    if is_whole && !(row.fields.is_empty() && field.is_empty()) {
        row.fields.push(field);
        rows.push(row);
    }
    rows
}

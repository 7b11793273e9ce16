//! The page of the tables: what a row is, and each column with its type and its meaning.

use super::{Page, code};
use ticktide_lake::commit::announce::{epoch_tables_spec, epochs_spec};
use ticktide_lake::table::spec::{Column, ColumnType, TableSpec};
use ticktide_tables::{TableDoc, all};

pub(super) fn page() -> Page {
    let first = "\
The tables of a lake are in one namespace, `market` by default. A dataflow fills the tables that its keys ask for; `epochs` \
and `epoch_tables` are in every lake.

- Money is `decimal(18,8)`, a sum is `decimal(38,8)`, a time is `timestamptz` in microseconds of UTC, an indicator is a `double`.
- Null means that the feed has no such value; it never means 0.
- The dataflow sets the part of a name in angle brackets: `bars_<interval>` is `bars_1m`, `bars_1d` and so on.
- The **key** identifies a row; the columns of the key are marked. A table without a key is append-only.
- A table that has a history comes with `<table>_history`: the same columns and `diff`, +1 where a row appeared in its epoch \
and -1 where it was taken back. The sum of `diff` up to an epoch is the table at that epoch.";
    let mut page = Page::new("Tables", "the definitions of the tables", first);
    for TableDoc { row, spec } in all() {
        table(&mut page, row, &spec);
    }
    table(&mut page, "an epoch: what was published together", &epochs_spec());
    table(&mut page, "a table at an epoch", &epoch_tables_spec());
    page
}

fn table(page: &mut Page, row: &str, spec: &TableSpec) {
    page.head(2, code(&spec.name));
    let history = if spec.history { " It has a history." } else { "" };
    let parts = spec.partition.map(|at| format!(" Its files are partitioned by `{}`.", spec.columns[at].name));
    page.text(format_args!("A row is {row}.{history}{}\n", parts.unwrap_or_default()));
    let cells = |(at, column): (usize, &Column)| {
        let key = if spec.key.contains(&at) { "key" } else { "" };
        let null = if column.nullable { "null" } else { "" };
        vec![code(&column.name), type_name(column.column_type), null.to_owned(), key.to_owned(), column.doc.clone()]
    };
    page.table(&["column", "type", "may be", "", "meaning"], spec.columns.iter().enumerate().map(cells));
}

fn type_name(kind: ColumnType) -> String {
    match kind {
        ColumnType::Text => "text".to_owned(),
        ColumnType::Bool => "boolean".to_owned(),
        ColumnType::Int => "int".to_owned(),
        ColumnType::Long => "long".to_owned(),
        ColumnType::Double => "double".to_owned(),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Time => "timestamptz".to_owned(),
        ColumnType::Binary => "binary".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
    }
}

//! A column as one entry of its table's list: its name, what it holds, and its cell in a row.
//!
//! ```text
//!   fn columns(list)  ─┬─ visited by Schema ─▶ the table's columns, with their docs
//!     one call a column ├─ visited by Cells  ─▶ a row of a fixed width, on the stack
//!                       └─ visited by CellVec ─▶ a row of any width
//! ```
//!
//! Why one function with several visitors: a name and its cell are in one line, so they cannot diverge. The function is
//! compiled for each visitor, so a row costs as much as a handwritten array of its cells. What must hold: the order of the
//! calls is the order of the columns, in every row and every lake.

use ticktide_lake::table::spec::{Cell, Column, ColumnType};

pub(crate) const TEXT: ColumnType = ColumnType::Text;
pub(crate) const BOOL: ColumnType = ColumnType::Bool;
pub(crate) const INT: ColumnType = ColumnType::Int;
pub(crate) const LONG: ColumnType = ColumnType::Long;
pub(crate) const DOUBLE: ColumnType = ColumnType::Double;
pub(crate) const DATE: ColumnType = ColumnType::Date;
pub(crate) const TIME: ColumnType = ColumnType::Time;
pub(crate) const BINARY: ColumnType = ColumnType::Binary;
/// A price or a quantity.
pub(crate) const MONEY: ColumnType = ColumnType::Decimal { precision: 18, scale: 8 };
/// A sum of quantities, or of prices times quantities.
pub(crate) const SUM: ColumnType = ColumnType::Decimal { precision: 38, scale: 8 };

/// The definition of a column, wherever its table has it.
#[derive(Clone, Copy)]
pub(crate) struct ColumnSpec<'n> {
    name: &'n str,
    column_type: ColumnType,
    doc: &'static str,
    nullable: bool,
    hashed: bool,
    delta: bool,
}

/// A column that may be null and counts in the content hash.
pub(crate) const fn column<'n>(name: &'n str, column_type: ColumnType, doc: &'static str) -> ColumnSpec<'n> {
    ColumnSpec { name, column_type, doc, nullable: true, hashed: true, delta: false }
}

impl ColumnSpec<'_> {
    /// It is never null.
    pub(crate) const fn required(self) -> Self {
        ColumnSpec { nullable: false, ..self }
    }

    /// Two runs over the same records may differ in it, so it does not count in the content hash.
    pub(crate) const fn unhashed(self) -> Self {
        ColumnSpec { hashed: false, ..self }
    }

    /// Its values mostly grow: Parquet keeps the differences.
    pub(crate) const fn by_delta(self) -> Self {
        ColumnSpec { delta: true, ..self }
    }
}

/// A visitor of a table's columns; `R` is what the table makes a row from, `'a` how long its cells borrow from it.
pub(crate) trait List<'a, R> {
    /// The next column, and the cell that a row has there.
    fn add(&mut self, spec: ColumnSpec<'_>, cell: impl Fn(&R) -> Cell<'a>);
}

/// Collects the definitions of the columns.
#[derive(Default)]
pub(crate) struct Schema(pub Vec<Column>);

impl<'a, R> List<'a, R> for Schema {
    fn add(&mut self, spec: ColumnSpec<'_>, _: impl Fn(&R) -> Cell<'a>) {
        let ColumnSpec { name, column_type, doc, nullable, hashed, delta } = spec;
        self.0.push(Column { name: name.into(), column_type, nullable, hashed, delta, doc: doc.into() });
    }
}

/// Collects the cells of a row of `N` columns.
pub(crate) struct Cells<'r, 'a, R, const N: usize> {
    row: &'r R,
    cells: [Cell<'a>; N],
    filled: usize,
}

impl<'r, 'a, R, const N: usize> Cells<'r, 'a, R, N> {
    #[inline]
    pub(crate) fn of(row: &'r R) -> Self {
        Cells { row, cells: [Cell::Null; N], filled: 0 }
    }

    /// The row; the table has exactly `N` columns.
    #[inline]
    pub(crate) fn done(self) -> [Cell<'a>; N] {
        debug_assert_eq!(self.filled, N, "the width of a row is that of its table");
        self.cells
    }
}

impl<'a, R, const N: usize> List<'a, R> for Cells<'_, 'a, R, N> {
    // always: only inside its caller is the index a constant that needs no check
    #[inline(always)]
    fn add(&mut self, _: ColumnSpec<'_>, cell: impl Fn(&R) -> Cell<'a>) {
        self.cells[self.filled] = cell(self.row);
        self.filled += 1;
    }
}

/// Collects the cells of a row on the heap.
pub(crate) struct CellVec<'r, 'a, R> {
    row: &'r R,
    cells: Vec<Cell<'a>>,
}

impl<'r, 'a, R> CellVec<'r, 'a, R> {
    /// Room for `width` cells.
    #[inline]
    pub(crate) fn of(row: &'r R, width: usize) -> Self {
        CellVec { row, cells: Vec::with_capacity(width) }
    }

    #[inline]
    pub(crate) fn done(self) -> Vec<Cell<'a>> {
        self.cells
    }
}

impl<'a, R> List<'a, R> for CellVec<'_, 'a, R> {
    #[inline(always)]
    fn add(&mut self, _: ColumnSpec<'_>, cell: impl Fn(&R) -> Cell<'a>) {
        self.cells.push(cell(self.row));
    }
}

//! Writes the table of supported fields as a document, see `proto/FIELDS.md`.

fn main() {
    print!("{}", weft_proto::check::markdown());
}

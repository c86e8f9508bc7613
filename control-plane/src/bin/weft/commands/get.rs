//! `weft get`: what the mesh is made of.

use clap::Args;
use weft_config::Kind;
use weft_control_admin::api::{Resource, Resources};

use crate::client::{Ask, Server, ask};
use crate::exit::Failure;
use crate::output::Format;
use crate::table::Table;

/// Shows resources.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft get
  weft get services
  weft get httproute inventory -o yaml")]
pub(crate) struct Get {
    #[command(flatten)]
    server: Server,
    /// Only resources of this kind.
    kind: Option<Kind>,
    /// Only the resource of this name.
    #[arg(requires = "kind")]
    name: Option<String>,
    /// Only resources of this namespace.
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to print them. `yaml` and `json` print the documents themselves.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Get {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if let (Some(kind), Some(name)) = (self.kind, &self.name) {
            let namespace = self.namespace.as_deref().unwrap_or(weft_config::DEFAULT_NAMESPACE);
            let resource: Resource =
                ask(&self.server, Ask::get(&path(kind, namespace, name)?)).await?;
            return self
                .output
                .print(&whole(&resource), || table(std::slice::from_ref(&resource)))
                .map_err(Failure::Unreachable);
        }
        let mut query = Vec::new();
        query.extend(self.kind.map(|kind| format!("kind={kind}")));
        if let Some(namespace) = &self.namespace {
            safe(namespace)?;
            query.push(format!("namespace={namespace}"));
        }
        let found: Resources =
            ask(&self.server, Ask::get(&format!("/v1/resources?{}", query.join("&")))).await?;
        self.print(&found).map_err(Failure::Unreachable)
    }

    fn print(&self, found: &Resources) -> anyhow::Result<()> {
        if self.output == Format::Yaml {
            // A stream of documents: what comes out can be applied again.
            for resource in &found.resources {
                print!("---\n{}", weft_config::to_yaml(&whole(resource)));
            }
            return Ok(());
        }
        let documents: Vec<_> = found.resources.iter().map(whole).collect();
        self.output.print(&documents, || table(&found.resources))
    }
}

/// The document with its status, which is left aside when it is applied again.
fn whole(resource: &Resource) -> serde_json::Value {
    let mut document = resource.document.clone();
    if let (Some(fields), Some(status)) = (document.as_object_mut(), &resource.status) {
        fields.insert("status".to_owned(), status.clone());
    }
    document
}

/// The path of one resource.
pub(super) fn path(kind: Kind, namespace: &str, name: &str) -> Result<String, Failure> {
    safe(namespace)?;
    safe(name)?;
    Ok(format!("/v1/resources/{kind}/{namespace}/{name}"))
}

/// Any text as one part of a path.
pub(super) fn segment(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A name that cannot be one is refused here, as it would not stay one part of a URL either.
fn safe(name: &str) -> Result<(), Failure> {
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.') {
        Ok(())
    } else {
        Err(Failure::No(format!(
            "error: {name:?} cannot be a name\n  hint: names have letters, digits, - and ."
        )))
    }
}

fn table(resources: &[Resource]) -> String {
    let mut table = Table::new(["KIND", "NAMESPACE", "NAME", "KEPT IN"]);
    let kept = |resource: &Resource| {
        resource.place.clone().unwrap_or_else(|| resource.kept.as_str().to_owned())
    };
    for resource in resources {
        table.row([
            resource.kind.clone(),
            resource.namespace.clone(),
            resource.name.clone(),
            kept(resource),
        ]);
    }
    if table.is_empty() { "there are none\n".to_owned() } else { table.render() }
}

//! The rules of protoc-gen-validate, read from descriptor options.
//!
//! A rule that is not understood is an error: a message that the table can reach must
//! not carry a rule that nobody evaluates.

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind,
    OneofDescriptor, Value,
};

use crate::Result;

/// What one value must be. The run-time twin is `schema::Rule`.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "most are read by way of Debug, which is their source form")]
pub(crate) enum Rule {
    /// An empty value passes, whatever follows.
    IgnoreEmpty,
    BoolIs(bool),
    UintAtLeast(u64),
    UintAtMost(u64),
    IntAtLeast(i64),
    IntAtMost(i64),
    FloatAtLeast(f64),
    FloatAbove(f64),
    FloatAtMost(f64),
    FloatBelow(f64),
    DurationAtLeast(i64, i32),
    DurationAbove(i64, i32),
    DurationAtMost(i64, i32),
    DurationBelow(i64, i32),
    CharsAtLeast(u32),
    CharsAtMost(u32),
    BytesAtLeast(u32),
    BytesAtMost(u32),
    Prefix(String),
    Suffix(String),
    OneOf(Vec<String>),
    HeaderName,
    HeaderValue,
    /// What `strict: false` makes of header names and values.
    HeaderLoose,
    /// `^[^?#]+[^?#/]$`, the one pattern among the messages reached.
    PathSeparatedPrefix,
    Defined,
    NotIn(Vec<i32>),
}

/// All the rules of a field.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Of the value; of each element of a list; of each value of a map.
    pub(crate) value: Vec<Rule>,
    /// Of each key of a map.
    pub(crate) key: Vec<Rule>,
    pub(crate) required: bool,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) unique: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            value: Vec::new(),
            key: Vec::new(),
            required: false,
            min: 0,
            max: u32::MAX,
            unique: false,
        }
    }
}

/// The extensions of descriptor options that carry rules.
pub(crate) struct Reader {
    field: ExtensionDescriptor,
    oneof: ExtensionDescriptor,
    switches: Vec<ExtensionDescriptor>,
}

impl Reader {
    pub(crate) fn new(pool: &DescriptorPool) -> Result<Self> {
        let get = |name: &str| {
            pool.get_extension_by_name(name).ok_or_else(|| format!("no extension `{name}`"))
        };
        Ok(Self {
            field: get("validate.rules")?,
            oneof: get("validate.required")?,
            switches: vec![get("validate.disabled")?, get("validate.ignored")?],
        })
    }

    /// Whether an arm of the oneof must be set.
    pub(crate) fn oneof_required(&self, oneof: &OneofDescriptor) -> bool {
        oneof.options().get_extension(&self.oneof).as_bool() == Some(true)
    }

    /// Refuses messages that switch their rules off: none reached does.
    pub(crate) fn check_switches(&self, message: &prost_reflect::MessageDescriptor) -> Result<()> {
        let options = message.options();
        match self.switches.iter().find(|switch| options.has_extension(switch)) {
            Some(switch) => {
                Err(format!("{}: option {} is not understood", message.full_name(), switch.name())
                    .into())
            }
            None => Ok(()),
        }
    }

    /// The rules of a field.
    pub(crate) fn read(&self, field: &FieldDescriptor) -> Result<Rules> {
        let options = field.options();
        let mut rules = Rules::default();
        if !options.has_extension(&self.field) {
            return Ok(rules);
        }
        let extension = options.get_extension(&self.field);
        let message = extension.as_message().ok_or("validate.rules is no message")?;
        for (group, value) in message.fields() {
            let content = value.as_message().ok_or("a rule group is no message")?;
            let read = match group.name() {
                "repeated" => repeated(content, &mut rules),
                "map" => map(content, &mut rules),
                "message" | "any" => required(content, &mut rules),
                name => values(name, content, &mut rules),
            };
            read.map_err(|error| format!("{}: {error}", field.full_name()))?;
        }
        Ok(rules)
    }
}

fn unknown(group: &str, rule: &str) -> Box<dyn std::error::Error> {
    format!("validation rule {group}.{rule} is not evaluated; add it to build/rules.rs and check/rule.rs").into()
}

fn required(content: &DynamicMessage, rules: &mut Rules) -> Result<()> {
    for (rule, value) in content.fields() {
        match (rule.name(), value.as_bool()) {
            ("required", Some(required)) => rules.required = required,
            // The one field that says so is refused whatever its message holds.
            ("skip", Some(_)) => {}
            (name, _) => return Err(unknown("message", name)),
        }
    }
    Ok(())
}

fn count(value: &Value) -> Result<u32> {
    Ok(u32::try_from(value.as_u64().ok_or("a count is no number")?)?)
}

fn items(value: &Value, into: &mut Vec<Rule>) -> Result<()> {
    let content = value.as_message().ok_or("item rules are no message")?;
    for (group, value) in content.fields() {
        let content = value.as_message().ok_or("a rule group is no message")?;
        let mut rules = Rules::default();
        values(group.name(), content, &mut rules)?;
        if rules.required {
            return Err(unknown(group.name(), "required"));
        }
        into.append(&mut rules.value);
    }
    Ok(())
}

fn repeated(content: &DynamicMessage, rules: &mut Rules) -> Result<()> {
    for (rule, value) in content.fields() {
        match rule.name() {
            "min_items" => rules.min = count(value)?,
            "max_items" => rules.max = count(value)?,
            "unique" => rules.unique = value.as_bool() == Some(true),
            "items" => items(value, &mut rules.value)?,
            name => return Err(unknown("repeated", name)),
        }
    }
    Ok(())
}

fn map(content: &DynamicMessage, rules: &mut Rules) -> Result<()> {
    for (rule, value) in content.fields() {
        match rule.name() {
            "min_pairs" => rules.min = count(value)?,
            "max_pairs" => rules.max = count(value)?,
            "keys" => items(value, &mut rules.key)?,
            "values" => items(value, &mut rules.value)?,
            name => return Err(unknown("map", name)),
        }
    }
    Ok(())
}

fn values(group: &str, content: &DynamicMessage, rules: &mut Rules) -> Result<()> {
    for (rule, value) in content.fields() {
        let read = match group {
            "uint32" | "uint64" | "fixed32" | "fixed64" => uint(rule.name(), value),
            "int32" | "int64" | "sint32" | "sint64" | "sfixed32" | "sfixed64" => {
                int(rule.name(), value)
            }
            "float" | "double" => float(rule.name(), value),
            "string" => {
                if rule.name() == "strict" {
                    continue; // read together with `well_known_regex`
                }
                string(rule.name(), value, content)
            }
            "bytes" => bytes(rule.name(), value),
            "enum" => enumeration(rule.name(), value),
            "bool" if rule.name() == "const" => value.as_bool().map(Rule::BoolIs),
            "duration" if rule.name() == "required" => {
                rules.required = value.as_bool() == Some(true);
                continue;
            }
            "duration" => duration(rule.name(), value),
            _ => None,
        };
        rules.value.push(read.ok_or_else(|| unknown(group, rule.name()))?);
    }
    // An empty value skips the others, so it is asked about first.
    rules.value.sort_by_key(|rule| !matches!(rule, Rule::IgnoreEmpty));
    Ok(())
}

fn uint(rule: &str, value: &Value) -> Option<Rule> {
    if rule == "ignore_empty" {
        return (value.as_bool() == Some(true)).then_some(Rule::IgnoreEmpty);
    }
    let bound = value.as_u64().or_else(|| value.as_u32().map(u64::from))?;
    match rule {
        "gte" => Some(Rule::UintAtLeast(bound)),
        "gt" => Some(Rule::UintAtLeast(bound.checked_add(1)?)),
        "lte" => Some(Rule::UintAtMost(bound)),
        "lt" => Some(Rule::UintAtMost(bound.checked_sub(1)?)),
        _ => None,
    }
}

fn int(rule: &str, value: &Value) -> Option<Rule> {
    let bound = value.as_i64().or_else(|| value.as_i32().map(i64::from))?;
    match rule {
        "gte" => Some(Rule::IntAtLeast(bound)),
        "gt" => Some(Rule::IntAtLeast(bound.checked_add(1)?)),
        "lte" => Some(Rule::IntAtMost(bound)),
        "lt" => Some(Rule::IntAtMost(bound.checked_sub(1)?)),
        _ => None,
    }
}

fn float(rule: &str, value: &Value) -> Option<Rule> {
    let bound = value.as_f64().or_else(|| value.as_f32().map(f64::from))?;
    match rule {
        "gte" => Some(Rule::FloatAtLeast(bound)),
        "gt" => Some(Rule::FloatAbove(bound)),
        "lte" => Some(Rule::FloatAtMost(bound)),
        "lt" => Some(Rule::FloatBelow(bound)),
        _ => None,
    }
}

fn duration(rule: &str, value: &Value) -> Option<Rule> {
    let message = value.as_message()?;
    let seconds = message.get_field_by_name("seconds")?.as_i64()?;
    let nanos = message.get_field_by_name("nanos")?.as_i32()?;
    match rule {
        "gte" => Some(Rule::DurationAtLeast(seconds, nanos)),
        "gt" => Some(Rule::DurationAbove(seconds, nanos)),
        "lte" => Some(Rule::DurationAtMost(seconds, nanos)),
        "lt" => Some(Rule::DurationBelow(seconds, nanos)),
        _ => None,
    }
}

fn string(rule: &str, value: &Value, all: &DynamicMessage) -> Option<Rule> {
    let strict = || all.get_field_by_name("strict").and_then(|strict| strict.as_bool());
    match rule {
        "min_len" => count(value).ok().map(Rule::CharsAtLeast),
        "max_len" => count(value).ok().map(Rule::CharsAtMost),
        "min_bytes" => count(value).ok().map(Rule::BytesAtLeast),
        "max_bytes" => count(value).ok().map(Rule::BytesAtMost),
        "prefix" => value.as_str().map(|text| Rule::Prefix(text.into())),
        "suffix" => value.as_str().map(|text| Rule::Suffix(text.into())),
        "in" => {
            let texts = value.as_list()?.iter().map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(Rule::OneOf)
        }
        "ignore_empty" => (value.as_bool() == Some(true)).then_some(Rule::IgnoreEmpty),
        "pattern" if value.as_str() == Some("^[^?#]+[^?#/]$") => Some(Rule::PathSeparatedPrefix),
        "well_known_regex" => match (value.as_enum_number()?, strict()?) {
            (1 | 2, false) => Some(Rule::HeaderLoose),
            (1, true) => Some(Rule::HeaderName),
            (2, true) => Some(Rule::HeaderValue),
            _ => None,
        },
        _ => None,
    }
}

fn bytes(rule: &str, value: &Value) -> Option<Rule> {
    match rule {
        "min_len" => count(value).ok().map(Rule::BytesAtLeast),
        "max_len" => count(value).ok().map(Rule::BytesAtMost),
        _ => None,
    }
}

fn enumeration(rule: &str, value: &Value) -> Option<Rule> {
    match rule {
        "defined_only" => (value.as_bool() == Some(true)).then_some(Rule::Defined),
        "not_in" => {
            let numbers = value.as_list()?.iter().map(Value::as_i32);
            numbers.collect::<Option<_>>().map(Rule::NotIn)
        }
        _ => None,
    }
}

impl Rules {
    /// Whether leaving the field out breaks a rule, and which: an absent scalar
    /// without presence counts as its default.
    pub(crate) fn refuse_absence(&self, field: &FieldDescriptor) -> Option<String> {
        if field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic()) {
            return None; // it is the oneof that may be required
        }
        if self.required {
            return Some("is required".into());
        }
        let scalar = !matches!(field.kind(), Kind::Message(_));
        if field.supports_presence() || !scalar || field.cardinality() == Cardinality::Repeated {
            return None;
        }
        if self.value.iter().any(|rule| matches!(rule, Rule::IgnoreEmpty)) {
            return None;
        }
        self.value.iter().find_map(|rule| match rule {
            Rule::BoolIs(true) => Some("must be true".into()),
            Rule::UintAtLeast(1..) => Some("must be set".into()),
            Rule::IntAtLeast(1..) | Rule::IntAtMost(..=-1) => Some("must be set".into()),
            Rule::FloatAtLeast(bound) if *bound > 0.0 => Some("must be set".into()),
            Rule::FloatAbove(bound) if *bound >= 0.0 => Some("must be set".into()),
            Rule::FloatAtMost(bound) if *bound < 0.0 => Some("must be set".into()),
            Rule::FloatBelow(bound) if *bound <= 0.0 => Some("must be set".into()),
            Rule::CharsAtLeast(1..) | Rule::BytesAtLeast(1..) => Some("must not be empty".into()),
            Rule::Prefix(_) | Rule::Suffix(_) | Rule::HeaderName | Rule::PathSeparatedPrefix => {
                Some("must not be empty".into())
            }
            Rule::OneOf(texts) if !texts.iter().any(String::is_empty) => {
                Some(format!("must be one of {}", texts.join(", ")))
            }
            Rule::NotIn(numbers) if numbers.contains(&0) => Some("must be set".into()),
            _ => None,
        })
    }
}

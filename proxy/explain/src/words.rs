//! Explanations for people.

use std::fmt;

use crate::{Explanation, Limit};

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.milliseconds {
            Some(time) => write!(f, "{}: {time} ms", self.what),
            None => write!(f, "{}: no limit", self.what),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listener, addresses, filter_chain, verdict, .. } = self;
        writeln!(f, "{verdict}")?;
        writeln!(f, "  listener      {listener} ({}), chain {filter_chain}", addresses.join(", "))?;
        if let Some(host) = &self.virtual_host {
            writeln!(f, "  virtual host  {host}")?;
        }
        if let Some(route) = &self.route {
            writeln!(f, "  route         {}: {}", route.name, route.conditions.join("; "))?;
        }
        for filter in &self.filters {
            writeln!(f, "  filter        {filter}")?;
        }
        for line in &self.policies {
            writeln!(f, "  policy        {line}")?;
        }
        for limit in &self.timeouts {
            writeln!(f, "  time          {limit}")?;
        }
        for destination in &self.destinations {
            let trouble = destination.trouble.as_deref().map(|it| format!(": {it}"));
            let (cluster, percent) = (&destination.cluster, destination.percent);
            let trouble = trouble.unwrap_or_default();
            writeln!(f, "  cluster       {cluster}, {percent:.4} %{trouble}")?;
            if let Some(pick) = &destination.pick {
                let endpoint = pick.endpoint.as_deref().unwrap_or("cannot be said");
                writeln!(f, "    picked      {endpoint}, {}", pick.why)?;
            }
            for endpoint in &destination.endpoints {
                let (address, share) = (&endpoint.address, endpoint.percent);
                write!(f, "    endpoint    {address}, {share:.1} %, {}", endpoint.health)?;
                write!(f, ", {} under way", endpoint.active_requests)?;
                if !endpoint.zone.is_empty() {
                    write!(f, ", zone {}", endpoint.zone)?;
                }
                if endpoint.priority > 0 {
                    write!(f, ", priority {}", endpoint.priority)?;
                }
                for reason in &endpoint.kept_from {
                    write!(f, "; {reason}")?;
                }
                writeln!(f)?;
            }
        }
        for other in &self.others {
            writeln!(f, "  not           {}: {}", other.rule.name, other.why.join("; "))?;
        }
        Ok(())
    }
}

//! Checks a parsed expression, and puts facts and literals in the place of names.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators as op,
};

use super::fact::Fact;
use super::functions;
use super::kind::Kind;
use super::moment::Moment;
use super::names;
use super::operators::result_of as operator;
use super::values::{Compiled, Networks, Slot};
use crate::types::{Cidr, CidrSet, Pattern};

/// How deep an expression may nest, and how deep the loops in it.
pub(super) const DEEPEST: usize = 40;
const DEEPEST_LOOPS: usize = 2;

/// The names of types, for `type(x) == string`.
const TYPES: [&str; 10] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// Walks an expression. Names become `#0`, `#1` …, the places of what they stand for in `slots`;
/// no user can write such a name.
#[derive(Default)]
pub(super) struct Checker {
    pub(super) slots: Vec<Slot>,
    locals: Vec<(String, Kind)>,
    depth: usize,
    /// How many loops the present part is inside of.
    loops: usize,
    /// Whether the present part is what a loop runs over.
    in_range: bool,
}

/// The name of a slot.
pub(super) fn slot_name(at: usize) -> String {
    format!("#{at}")
}

/// The place of the slot with a name.
pub(super) fn slot_at(name: &str) -> Option<usize> {
    name.strip_prefix('#')?.parse().ok()
}

impl Checker {
    /// Checks a part of the expression, and says what sort of value it has.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn visit(&mut self, node: &mut IdedExpr) -> Result<Kind, String> {
        if self.depth == DEEPEST {
            return Err(format!(
                "expected at most {DEEPEST} levels of nesting, found more"
            ));
        }
        self.depth += 1;
        let kind = self.visit_inner(node);
        self.depth -= 1;
        kind
    }

    fn visit_inner(&mut self, node: &mut IdedExpr) -> Result<Kind, String> {
        if let Some(path) = self.path(&node.expr) {
            let fact = names::resolve(&path)?;
            return Ok(self.put(node, Slot::Fact(fact)));
        }
        match &mut node.expr {
            Expr::Literal(literal) => Ok(kind_of(literal)),
            Expr::Ident(name) => Ok(self.local(name).unwrap_or(Kind::Type)),
            Expr::Select(select) if select.test => self.has(node),
            Expr::Select(select) => {
                let operand = self.visit(&mut select.operand)?;
                inside(operand, &select.field)
            }
            Expr::Call(_) => self.call(node),
            Expr::List(list) => {
                for element in &mut list.elements {
                    self.visit(element)?;
                }
                Ok(Kind::List)
            }
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.visit(&mut entry.key)?;
                        self.visit(&mut entry.value)?;
                    }
                }
                Ok(Kind::Map)
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(found) => Err(format!("unknown type `{}`", found.type_name)),
            Expr::Unspecified => Err("expected an expression, found nothing".into()),
        }
    }

    fn put(&mut self, node: &mut IdedExpr, slot: Slot) -> Kind {
        let kind = match &slot {
            Slot::Fact(fact) => fact.kind(),
            Slot::Moment(_) => Kind::Time,
            Slot::Pattern(_) | Slot::Networks(_) => Kind::Any,
        };
        node.expr = Expr::Ident(slot_name(self.slots.len()));
        self.slots.push(slot);
        kind
    }

    /// The parts of a name such as `request.headers["x"]`; `None` for what is none, or begins
    /// with a variable of a loop.
    fn path<'e>(&self, expr: &'e Expr) -> Option<Vec<&'e str>> {
        let mut parts = match expr {
            Expr::Ident(name) if self.local(name).is_some() || TYPES.contains(&name.as_str()) => {
                return None;
            }
            Expr::Ident(name) => return Some(vec![name]),
            Expr::Select(select) if !select.test => {
                let mut parts = self.path(&select.operand.expr)?;
                parts.push(&select.field);
                return Some(parts);
            }
            Expr::Call(call) if call.func_name == op::INDEX => {
                self.path(&call.args.first()?.expr)?
            }
            _ => return None,
        };
        let Expr::Call(CallExpr { args, .. }) = expr else {
            return None;
        };
        parts.push(literal(args.get(1)?)?);
        Some(parts)
    }

    fn local(&self, name: &str) -> Option<Kind> {
        let mut locals = self.locals.iter().rev();
        locals
            .find(|(local, _)| local == name)
            .map(|(_, kind)| *kind)
    }

    /// `has(params.id)`, which the parser has turned into a marked selection.
    fn has(&mut self, node: &mut IdedExpr) -> Result<Kind, String> {
        let Expr::Select(select) = &mut node.expr else {
            return Ok(Kind::Bool);
        };
        let Some(mut path) = self.path(&select.operand.expr) else {
            let operand = self.visit(&mut select.operand)?;
            return inside(operand, &select.field).map(|_| Kind::Bool);
        };
        path.push(&select.field);
        let fact = names::resolve(&path)?;
        if !fact.is_optional() {
            return Err(format!("`{}` is always there", path.join(".")));
        }
        Ok(self.put(node, Slot::Fact(Fact::Has(fact.into()))))
    }

    fn call(&mut self, node: &mut IdedExpr) -> Result<Kind, String> {
        let Expr::Call(call) = &mut node.expr else {
            return Ok(Kind::Any);
        };
        match (call.func_name.as_str(), &call.target, call.args.len()) {
            (op::IN, None, 2)
                if self
                    .path(&call.args[1].expr)
                    .is_some_and(|p| names::is_map(&p)) =>
            {
                self.key_in_map(node)
            }
            ("in_cidr", None, 2) => self.in_cidr(node),
            ("timestamp", None, 1) => {
                let text = literal(&call.args[0]).ok_or("`timestamp` expects a text literal")?;
                let moment: Moment = text.parse()?;
                Ok(self.put(node, Slot::Moment(moment)))
            }
            ("matches", _, _) => self.matches(call),
            (_, None, _)
                if !call
                    .func_name
                    .starts_with(|c: char| c.is_ascii_alphabetic()) =>
            {
                let arguments = self.visit_all(&mut call.args)?;
                operator(&call.func_name, &arguments)
            }
            _ => {
                let on = match &mut call.target {
                    Some(target) => Some(self.visit(target)?),
                    None => None,
                };
                let arguments = self.visit_all(&mut call.args)?;
                functions::result_of(&call.func_name, on, &arguments)
            }
        }
    }

    fn visit_all(&mut self, nodes: &mut [IdedExpr]) -> Result<Vec<Kind>, String> {
        nodes.iter_mut().map(|node| self.visit(node)).collect()
    }

    /// `"x-id" in request.headers`.
    fn key_in_map(&mut self, node: &mut IdedExpr) -> Result<Kind, String> {
        let Expr::Call(call) = &node.expr else {
            return Ok(Kind::Bool);
        };
        let mut path = self.path(&call.args[1].expr).unwrap_or_default();
        let name = literal(&call.args[0])
            .ok_or_else(|| format!("expected a text literal before `in {}`", path.join(".")))?;
        path.push(name);
        let fact = Fact::Has(names::resolve(&path)?.into());
        Ok(self.put(node, Slot::Fact(fact)))
    }

    fn in_cidr(&mut self, node: &mut IdedExpr) -> Result<Kind, String> {
        let Expr::Call(call) = &mut node.expr else {
            return Ok(Kind::Bool);
        };
        let networks = networks(&call.args[1])?;
        let fact = match self.path(&call.args[0].expr) {
            Some(path) => Some(names::resolve(&path)?),
            None => None,
        };
        if let Some(fact @ (Fact::Address | Fact::Peer)) = fact {
            return Ok(self.put(node, Slot::Fact(Fact::Within(fact.into(), networks))));
        }
        let address = self.visit(&mut call.args[0])?;
        if !address.fits(Kind::Text) {
            return Err(format!(
                "`in_cidr` expects an address as text, found {address}"
            ));
        }
        self.put(&mut call.args[1], Slot::Networks(Networks(networks)));
        Ok(Kind::Bool)
    }

    /// `text.matches("pattern")` and `matches(text, "pattern")`.
    fn matches(&mut self, call: &mut CallExpr) -> Result<Kind, String> {
        let (text, pattern) = match (&mut call.target, call.args.as_mut_slice()) {
            (Some(text), [pattern]) => (&mut **text, pattern),
            (None, [text, pattern]) => (text, pattern),
            _ => return Err("expected `text.matches(\"pattern\")`".into()),
        };
        let kind = self.visit(text)?;
        if !kind.fits(Kind::Text) {
            return Err(format!("`matches` expects text, found {kind}"));
        }
        let source = literal(pattern).ok_or("`matches` expects its pattern as a text literal")?;
        let compiled: Pattern = source.parse()?;
        self.put(pattern, Slot::Pattern(Compiled((*compiled).clone())));
        Ok(Kind::Bool)
    }

    fn comprehension(&mut self, found: &mut ComprehensionExpr) -> Result<Kind, String> {
        if self.loops == DEEPEST_LOOPS {
            return Err(format!(
                "expected at most {DEEPEST_LOOPS} loops inside each other, found more"
            ));
        }
        if self.in_range {
            // Each of a row of loops could double what the one before it made.
            return Err(
                "expected a loop over a list, found a loop over what another loop made".into(),
            );
        }
        self.in_range = true;
        let range = self.visit(&mut found.iter_range);
        self.in_range = false;
        let range = range?;
        if !matches!(range, Kind::List | Kind::Map | Kind::Any) {
            return Err(format!("expected a list to look through, found {range}"));
        }
        let start = self.visit(&mut found.accu_init)?;
        let outside = self.locals.len();
        self.loops += 1;
        self.locals.push((found.accu_var.clone(), start));
        self.locals.push((found.iter_var.clone(), Kind::Any));
        self.locals
            .extend(found.iter_var2.clone().map(|name| (name, Kind::Any)));
        self.visit(&mut found.loop_cond)?;
        self.visit(&mut found.loop_step)?;
        let result = self.visit(&mut found.result);
        self.locals.truncate(outside);
        self.loops -= 1;
        result
    }
}

fn networks(node: &IdedExpr) -> Result<CidrSet, String> {
    let one = |node: &IdedExpr| -> Result<Cidr, String> {
        literal(node)
            .ok_or("`in_cidr` expects its networks as text literals")?
            .parse()
    };
    match &node.expr {
        Expr::List(list) => list.elements.iter().map(one).collect(),
        _ => one(node).map(|net| CidrSet::from_iter([net])),
    }
}

fn literal(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn kind_of(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Bool,
        LiteralValue::Bytes(_) => Kind::Bytes,
        LiteralValue::Double(_) => Kind::Double,
        LiteralValue::Int(_) => Kind::Int,
        LiteralValue::Null => Kind::Null,
        LiteralValue::String(_) => Kind::Text,
        LiteralValue::UInt(_) => Kind::Uint,
    }
}

fn inside(operand: Kind, field: &str) -> Result<Kind, String> {
    match operand {
        Kind::Map | Kind::Any => Ok(Kind::Any),
        other => Err(format!("{other} has nothing inside, found `.{field}`")),
    }
}

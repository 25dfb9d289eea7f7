//! Names, parameters and results of all functions. What they compute is in `eval`.

/// Types of values, with their two names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueType {
    Scalar,
    Vector,
    Matrix,
    String,
}

impl ValueType {
    /// The API's word: `resultType`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }

    /// The manual's word, for messages.
    #[must_use]
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }
}

/// A function's signature.
#[derive(PartialEq, Eq, Debug)]
pub struct Function {
    pub name: &'static str,
    pub params: &'static [ValueType],
    pub arity: Arity,
    pub returns: ValueType,
}

/// How many arguments there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arity {
    /// As many as parameters.
    Exact,
    /// The last parameter can be left out or stand up to so many times.
    UpTo(usize),
    /// The last parameter can be left out or stand any number of times.
    Any,
}

use Arity::{Any, Exact, UpTo};
use ValueType::{Matrix, Scalar, String, Vector};

const fn function(name: &'static str, params: &'static [ValueType], arity: Arity, returns: ValueType) -> Function {
    Function { name, params, arity, returns }
}

/// Sorted by name.
pub static FUNCTIONS: &[Function] = &[
    function("abs", &[Vector], Exact, Vector),
    function("absent", &[Vector], Exact, Vector),
    function("absent_over_time", &[Matrix], Exact, Vector),
    function("acos", &[Vector], Exact, Vector),
    function("acosh", &[Vector], Exact, Vector),
    function("asin", &[Vector], Exact, Vector),
    function("asinh", &[Vector], Exact, Vector),
    function("atan", &[Vector], Exact, Vector),
    function("atanh", &[Vector], Exact, Vector),
    function("avg_over_time", &[Matrix], Exact, Vector),
    function("ceil", &[Vector], Exact, Vector),
    function("changes", &[Matrix], Exact, Vector),
    function("clamp", &[Vector, Scalar, Scalar], Exact, Vector),
    function("clamp_max", &[Vector, Scalar], Exact, Vector),
    function("clamp_min", &[Vector, Scalar], Exact, Vector),
    function("cos", &[Vector], Exact, Vector),
    function("cosh", &[Vector], Exact, Vector),
    function("count_over_time", &[Matrix], Exact, Vector),
    function("day_of_month", &[Vector], UpTo(1), Vector),
    function("day_of_week", &[Vector], UpTo(1), Vector),
    function("day_of_year", &[Vector], UpTo(1), Vector),
    function("days_in_month", &[Vector], UpTo(1), Vector),
    function("deg", &[Vector], Exact, Vector),
    function("delta", &[Matrix], Exact, Vector),
    function("deriv", &[Matrix], Exact, Vector),
    function("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Exact, Vector),
    function("end", &[], Exact, Scalar),
    function("exp", &[Vector], Exact, Vector),
    function("first_over_time", &[Matrix], Exact, Vector),
    function("floor", &[Vector], Exact, Vector),
    function("histogram_avg", &[Vector], Exact, Vector),
    function("histogram_count", &[Vector], Exact, Vector),
    function("histogram_fraction", &[Scalar, Scalar, Vector], Exact, Vector),
    function("histogram_quantile", &[Scalar, Vector], Exact, Vector),
    function("histogram_quantiles", &[Vector, String, Scalar, Scalar], UpTo(9), Vector),
    function("histogram_stddev", &[Vector], Exact, Vector),
    function("histogram_stdvar", &[Vector], Exact, Vector),
    function("histogram_sum", &[Vector], Exact, Vector),
    function("hour", &[Vector], UpTo(1), Vector),
    function("idelta", &[Matrix], Exact, Vector),
    function("increase", &[Matrix], Exact, Vector),
    function("info", &[Vector, Vector], UpTo(1), Vector),
    function("irate", &[Matrix], Exact, Vector),
    function("label_join", &[Vector, String, String, String], Any, Vector),
    function("label_replace", &[Vector, String, String, String, String], Exact, Vector),
    function("last_over_time", &[Matrix], Exact, Vector),
    function("ln", &[Vector], Exact, Vector),
    function("log10", &[Vector], Exact, Vector),
    function("log2", &[Vector], Exact, Vector),
    function("mad_over_time", &[Matrix], Exact, Vector),
    function("max_of", &[Scalar, Scalar], Exact, Scalar),
    function("max_over_time", &[Matrix], Exact, Vector),
    function("min_of", &[Scalar, Scalar], Exact, Scalar),
    function("min_over_time", &[Matrix], Exact, Vector),
    function("minute", &[Vector], UpTo(1), Vector),
    function("month", &[Vector], UpTo(1), Vector),
    function("pi", &[], Exact, Scalar),
    function("predict_linear", &[Matrix, Scalar], Exact, Vector),
    function("present_over_time", &[Matrix], Exact, Vector),
    function("quantile_over_time", &[Scalar, Matrix], Exact, Vector),
    function("rad", &[Vector], Exact, Vector),
    function("range", &[], Exact, Scalar),
    function("rate", &[Matrix], Exact, Vector),
    function("resets", &[Matrix], Exact, Vector),
    function("round", &[Vector, Scalar], UpTo(1), Vector),
    function("scalar", &[Vector], Exact, Scalar),
    function("sgn", &[Vector], Exact, Vector),
    function("sin", &[Vector], Exact, Vector),
    function("sinh", &[Vector], Exact, Vector),
    function("sort", &[Vector], Exact, Vector),
    function("sort_by_label", &[Vector, String], Any, Vector),
    function("sort_by_label_desc", &[Vector, String], Any, Vector),
    function("sort_desc", &[Vector], Exact, Vector),
    function("sqrt", &[Vector], Exact, Vector),
    function("start", &[], Exact, Scalar),
    function("start_timestamp", &[Vector], Exact, Vector),
    function("stddev_over_time", &[Matrix], Exact, Vector),
    function("stdvar_over_time", &[Matrix], Exact, Vector),
    function("step", &[], Exact, Scalar),
    function("sum_over_time", &[Matrix], Exact, Vector),
    function("tan", &[Vector], Exact, Vector),
    function("tanh", &[Vector], Exact, Vector),
    function("time", &[], Exact, Scalar),
    function("timestamp", &[Vector], Exact, Vector),
    function("ts_of_first_over_time", &[Matrix], Exact, Vector),
    function("ts_of_last_over_time", &[Matrix], Exact, Vector),
    function("ts_of_max_over_time", &[Matrix], Exact, Vector),
    function("ts_of_min_over_time", &[Matrix], Exact, Vector),
    function("vector", &[Scalar], Exact, Vector),
    function("year", &[Vector], UpTo(1), Vector),
];

/// The function of that name; names are case-sensitive.
#[must_use]
pub fn find_function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|index| &FUNCTIONS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found() {
        for function in FUNCTIONS {
            assert_eq!(find_function(function.name), Some(function));
        }
        assert_eq!(find_function("nope"), None);
    }
}

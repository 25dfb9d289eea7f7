//! Every version of every API that is offered can be decoded and answered.

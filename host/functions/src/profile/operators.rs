//! The price of each instruction in fuel.
//!
//! Promises that a million fuel buys at most about 1,000 us of CPU, whatever the guest does;
//! `aspen-bench attacks` measures it. A load is priced as one that waits for memory, 130 ns, for a
//! guest can make all of its loads such; to an honest guest a call becomes dearer by two thirds.
//! An instruction that is not named has wasmtime's price, 1 or 0. Other prices are in `prices.rs`.

use wasmtime::OperatorCost;

/// Returns wasmtime's table of prices.
pub(super) fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::new();
    macro_rules! set {
        ($fuel:literal: $($operator:ident)*) => { $( cost.$operator = $fuel; )* };
    }
    set!(160: I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U);
    set!(160: I64Load8S I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U);
    set!(48: I32Store I64Store F32Store F64Store I32Store8 I32Store16);
    set!(48: I64Store8 I64Store16 I64Store32);
    set!(2: Br BrIf BrTable);
    set!(3: I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U I64TruncF32S I64TruncF32U);
    set!(3: I64TruncF64S I64TruncF64U I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S);
    set!(3: I32TruncSatF64U I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U);
    set!(3: F32ConvertI32S F32ConvertI32U F32ConvertI64S F32ConvertI64U F64ConvertI32S);
    set!(3: F64ConvertI32U F64ConvertI64S F64ConvertI64U);
    set!(14: I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU DataDrop);
    set!(12: F32Add F32Sub F32Min F32Max F32Nearest F32Ceil F32Floor F32Trunc);
    set!(12: F64Add F64Sub F64Min F64Max F64Nearest F64Ceil F64Floor F64Trunc);
    set!(12: F64PromoteF32 F32DemoteF64);
    // Denormal operands take processors of Intel 40 ns.
    set!(40: F32Mul F64Mul);
    set!(48: F32Div F64Div F32Sqrt F64Sqrt);
    set!(4: Call CallIndirect TableGet);
    set!(30: ElemDrop);
    set!(100: TableSet MemoryGrow TableGrow);
    set!(200: RefFunc);
    set!(26: MemoryCopy MemoryInit TableFill TableCopy TableInit);
    // 65 ns for nothing, on processors of Intel.
    set!(90: MemoryFill);
    cost.variable.memory_grow_per_page = 255;
    cost.variable.table_fill_per_element = 4;
    cost.variable.table_copy_per_element = 8;
    cost.variable.table_init_per_element = 8;
    cost.variable.table_grow_per_element = 8;
    cost
}

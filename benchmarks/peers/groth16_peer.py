"""Another library's Groth16 verifier in a process of its own, for benchmarks/groth16.py.

    python groth16_peer.py py_ecc|mclbn256|groth16py|zksnake KEY PROOFS

Says `ready`, then takes lines: how many proofs to verify. Answers with the seconds of each. Ends
when its input ends. It runs in the peers' environment and imports nothing of VibeStream.

Each checks what it can: points on the curve, B in the subgroup where the library offers it; what
depends on the key alone is done beforehand.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Case = dict[str, Any]
Prepare = Callable[[Case], Any]
Verify = Callable[[Any], bool]  # of what Prepare made, which is not timed
Peer = tuple[Prepare, Verify]


def as_it_is(case: Case) -> Case:
    """For a library that takes points and numbers: reading them is its own work."""
    return case


def py_ecc(key: Case) -> Peer:
    """Its optimised curve: three Miller loops, one final exponentiation, e(alpha, beta) folded."""
    sys.setrecursionlimit(10_000)
    bn = importlib.import_module("py_ecc.optimized_bn128")

    def g1(point: Any) -> Any:
        x, y = (bn.FQ(int(value)) for value in point[:2])
        return x, y, bn.FQ.one()

    def g2(point: Any) -> Any:
        x, y = (bn.FQ2([int(part) for part in value]) for value in point[:2])
        return x, y, bn.FQ2.one()

    alpha_beta = bn.pairing(g2(key["vk_beta_2"]), g1(key["vk_alpha_1"]), final_exponentiate=False)
    gamma, delta = g2(key["vk_gamma_2"]), g2(key["vk_delta_2"])
    ic = [g1(point) for point in key["IC"]]

    def verify(case: Case) -> bool:
        proof = case["proof"]
        a, b, c = g1(proof["pi_a"]), g2(proof["pi_b"]), g1(proof["pi_c"])
        if not (bn.is_on_curve(a, bn.b) and bn.is_on_curve(b, bn.b2) and bn.is_on_curve(c, bn.b)):
            return False
        if not bn.is_inf(bn.multiply(b, bn.curve_order)):
            return False
        total = ic[0]
        for point, signal in zip(ic[1:], case["publicSignals"], strict=True):
            total = bn.add(total, bn.multiply(point, int(signal)))
        product = alpha_beta
        for q, p in ((b, bn.neg(a)), (gamma, total), (delta, c)):
            product = product * bn.pairing(q, p, final_exponentiate=False)
        return bool(bn.final_exponentiate(product) == bn.FQ12.one())

    return as_it_is, verify


class _Mcl:
    """mcl's C functions in the library that the wheel carries, on the curve of snarks."""

    SNARK_CURVE, COMPILED, DECIMAL = 4, 44, 10

    def __init__(self) -> None:
        self.c = importlib.import_module("mclbn256.mclbn256").lib
        if self.c.mclBn_init(self.SNARK_CURVE, self.COMPILED):
            raise SystemExit("mcl does not know the curve")
        self.c.mclBn_verifyOrderG2(1)
        self.c.mclBnG1_mulVec.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_size_t]

    def element(self, kind: str, size: int, text: str) -> Any:
        """A G1, G2 or Fr of a decimal text. Raises ValueError for one that is none."""
        made = ctypes.create_string_buffer(size)
        data = text.encode()
        if getattr(self.c, f"mclBn{kind}_setStr")(made, data, len(data), self.DECIMAL):
            raise ValueError(f"not of {kind}")
        return made

    def g1(self, point: Any) -> Any:
        """A point of G1."""
        return self.element("G1", 96, f"1 {point[0]} {point[1]}")

    def g2(self, point: Any) -> Any:
        """A point of G2."""
        (x0, x1), (y0, y1) = point[:2]
        return self.element("G2", 192, f"1 {x0} {x1} {y0} {y1}")

    def lines(self, point: Any) -> Any:
        """A point of G2, prepared for pairings."""
        made = ctypes.create_string_buffer(8 * self.c.mclBn_getUint64NumToPrecompute())
        self.c.mclBn_precomputeG2(made, self.g2(point))
        return made


def mclbn256(key: Case) -> Peer:
    """mcl: lines of gamma and delta precomputed, e(alpha, beta) folded, order of B checked."""
    mcl = _Mcl()
    c = mcl.c
    gamma, delta = mcl.lines(key["vk_gamma_2"]), mcl.lines(key["vk_delta_2"])
    ic = b"".join(mcl.g1(point).raw for point in key["IC"])
    alpha_beta = ctypes.create_string_buffer(384)
    c.mclBn_millerLoop(alpha_beta, mcl.g1(key["vk_alpha_1"]), mcl.g2(key["vk_beta_2"]))

    def verify(case: Case) -> bool:
        proof, signals = case["proof"], ["1", *case["publicSignals"]]
        try:
            a, b, out = mcl.g1(proof["pi_a"]), mcl.g2(proof["pi_b"]), mcl.g1(proof["pi_c"])
            scalars = b"".join(mcl.element("Fr", 32, signal).raw for signal in signals)
        except ValueError:
            return False
        total, product, rest = (ctypes.create_string_buffer(n) for n in (96, 384, 384))
        c.mclBnG1_mulVec(total, ic, scalars, len(signals))
        c.mclBnG1_normalize(total, total)
        c.mclBnG1_neg(a, a)
        c.mclBn_millerLoop(product, a, b)
        c.mclBn_precomputedMillerLoop2(rest, total, gamma, out, delta)
        c.mclBnGT_mul(product, product, rest)
        c.mclBnGT_mul(product, product, alpha_beta)
        c.mclBn_finalExp(product, product)
        return bool(c.mclBnGT_isOne(product))

    return as_it_is, verify


def groth16py(key: Case) -> Peer:
    """arkworks, on snarkjs's texts (made beforehand: it takes nothing else)."""
    library = importlib.import_module("groth16py")
    verifier = library.Verifier(library.VerifyingKey.from_snarkjs(json.dumps(key)))

    def texts(case: Case) -> tuple[str, str]:
        return json.dumps(case["proof"]), json.dumps(case["publicSignals"])

    def verify(case: tuple[str, str]) -> bool:
        try:
            return bool(verifier.verify_snarkjs(*case))
        except library.VerificationError:
            return False

    return texts, verify


def zksnake(key: Case) -> Peer:
    """Its own `Groth16.verify`, given the key that its setup would have made."""
    groth16 = importlib.import_module("zksnake.groth16")
    curve = importlib.import_module("zksnake.ecc").EllipticCurve("BN254")

    def g1(point: Any) -> Any:
        return curve(int(point[0]), int(point[1]))

    def g2(point: Any) -> Any:
        x, y = ([int(part) for part in value] for value in point[:2])
        return curve(x, y)

    verifier = groth16.Groth16.__new__(groth16.Groth16)
    verifier.E = curve
    verifier.verifying_key = SimpleNamespace(
        ic=[g1(point) for point in key["IC"]],
        alpha_1=g1(key["vk_alpha_1"]),
        beta_2=g2(key["vk_beta_2"]),
        gamma_2=g2(key["vk_gamma_2"]),
        delta_2=g2(key["vk_delta_2"]),
    )

    def verify(case: Case) -> bool:
        proof = case["proof"]
        points = groth16.Proof(g1(proof["pi_a"]), g2(proof["pi_b"]), g1(proof["pi_c"]))
        return bool(verifier.verify(points, [1, *map(int, case["publicSignals"])]))

    return as_it_is, verify


PEERS: dict[str, Callable[[Case], Peer]] = {
    "py_ecc": py_ecc,
    "mclbn256": mclbn256,
    "groth16py": groth16py,
    "zksnake": zksnake,
}


def main(name: str, key_file: str, proofs_file: str) -> None:
    """Prove that it tells right from wrong, then time what is asked for."""
    key, proofs = (json.loads(Path(file).read_text("utf-8")) for file in (key_file, proofs_file))
    prepare, verify = PEERS[name](key)
    first, *signals = proofs[0]["publicSignals"]
    wrong = proofs[0] | {"publicSignals": [str(int(first) + 1), *signals]}
    if not verify(prepare(proofs[0])) or verify(prepare(wrong)):
        raise SystemExit(f"{name} does not tell an honest proof from a wrong one")
    cases = [prepare(proof) for proof in proofs]
    # A proof that takes seconds meets whatever else the machine does: not so the processor's time.
    clock = time.process_time if name == "py_ecc" else time.perf_counter
    print("ready", flush=True)
    at = 0
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            case = cases[at % len(cases)]
            at += 1
            began = clock()
            valid = verify(case)
            seconds.append(clock() - began)
            if not valid:
                raise SystemExit(f"{name} refuses an honest proof")
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

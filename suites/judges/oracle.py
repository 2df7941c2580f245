"""The judge ``oracle``: the users of the oracle world (`suites.oracle.judge`)."""

from __future__ import annotations

from suites.judges.protocol import Judge
from suites.judges.registry import JudgeSetup, Reward, judge


def reward(setup: JudgeSetup) -> Reward:
    """The users' reward, exactly (`suites.oracle.judge.oracle_reward`)."""
    from suites.oracle.judge import oracle_reward

    if setup.world is None:
        raise ValueError("the oracle judge needs the oracle world")
    return oracle_reward(setup.world)


@judge("oracle", needs=["world"], reward=reward)
def load(setup: JudgeSetup) -> Judge:
    from suites.oracle.judge import OracleJudge

    if setup.world is None:
        raise ValueError("the oracle judge needs the oracle world")
    return OracleJudge(setup.world)

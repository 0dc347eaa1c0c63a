"""The paper's method: ranking (Eq. 2), masking, synthesis (Algorithm 1), the unit and where it sits (Eq. 3-6), calibration, hardening."""
